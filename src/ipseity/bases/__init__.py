"""One file for each generative model: text and pixels in, prediction out."""
