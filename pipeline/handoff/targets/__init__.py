"""The targets that deposits go to: a family, driven alike, none knowing of another.

    folder            another disk or mount
    sftp              a folder on a server, known by one pinned key
    s3                an S3 bucket: objects made only where there is none
    command           a program of the user's own, that gives back what it keeps

A module imports only what stands above this chapter.
"""
