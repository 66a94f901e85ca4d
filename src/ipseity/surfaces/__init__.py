"""Front ends over `ipseity.api`."""
