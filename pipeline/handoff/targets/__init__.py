"""The targets that deposits go to: a family, driven alike, none knowing of another.

    folder            another disk or mount

A module imports only what stands above this chapter.
"""
