"""Evidence that is carried away: bundles that verify on a laptop, without the axis, its database or its settings."""
