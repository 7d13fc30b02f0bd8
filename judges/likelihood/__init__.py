"""The likelihood engine: one pass of a causal model over responses gives all that judges and filters ask of it."""
