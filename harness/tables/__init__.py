"""The paper's Tables 1 to 5: its rows and ours. Each training is a trial in results.db."""
