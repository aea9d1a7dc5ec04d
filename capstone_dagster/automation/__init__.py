"""What starts runs and tells people by itself: sensors, one module each, and what they judge a day by."""
