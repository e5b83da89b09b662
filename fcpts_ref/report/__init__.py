"""Tables, figures and one HTML page from the folders of finished runs."""
