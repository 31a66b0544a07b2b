"""The paper's Tables 1 to 5: its rows and ours, each training a trial in results.db."""
