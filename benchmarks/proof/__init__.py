"""The proof: whole curves of runs to several times the steps at which class images peak, and what may be said of them."""
