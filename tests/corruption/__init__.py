"""Damage to everything that a store is made of: noticed, isolated, or without effect.

| module | owns |
|---|---|
| `content` | what a store of these tests holds, and how it is written |
| `templates` | such stores, of every layout, as a killed process leaves them |
| `segment` | the log of a local disk, read and written again with a damaged record |
| `damage` | which file is damaged, and how |
| `reading` | everything that a damaged store still gives |
| `judging` | whether that keeps the promises |
| `lane` | many damages, counted |
"""
