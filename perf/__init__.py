"""What is measured, and how: each module prints its figures and writes them beside itself under results/."""
