"""The admin API: what each route answers, over a real queue."""
