"""Power loss of a store on a local disk: what was promised is there, whatever was kept back."""
