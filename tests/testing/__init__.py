"""`taquba.testing`: what users test their own code with."""
