"""Made-up videos with planted truth, face pictures out of installed wheels, a fake model pack."""
