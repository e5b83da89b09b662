"""Boxes: priors, coding, matching, the multibox loss, suppression and mean average precision."""
