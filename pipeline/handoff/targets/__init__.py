"""The targets that deposits go to: a family, driven alike, none knowing of another.

    folder            another disk or mount
    sftp              a folder on a server, known by one pinned key
    s3                an S3 bucket: objects made only where there is none
    archivematica     each bag a transfer, watched until it is stored as an AIP
    internet_archive  one item there, a tar of each bag in it, seen by everybody
    dspace            a folder that imports are taken from, in Simple Archive Format
    command           a program of the user's own, that gives back what it keeps

A module imports only what stands above this chapter.
"""
