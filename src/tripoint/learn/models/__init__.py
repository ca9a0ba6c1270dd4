"""Networks that pass messages: each predicts the log-activity of every particle in the data of its view."""
