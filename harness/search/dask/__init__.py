"""Trials on a Dask cluster. Dask is imported only when one is used."""
