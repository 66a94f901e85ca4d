"""The training that InstantID's authors did not release: an Image Adapter and an IdentityNet beside a frozen base.

`rows` makes the data, `train` teaches, `package` writes what `ipseity.methods.instantid` reads, `sheet` draws and `measure`
scores people whom training never saw. Any base in the SDXL layout will do; `python -m toybox.instantid --help` says how.
"""
