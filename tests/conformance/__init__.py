"""One suite, many stores: what taquba promises holds on each of them."""
