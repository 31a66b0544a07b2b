"""The paper's systems: which there are, and the builders that make Keras models of them."""
