/* download.h - fetching a data set's archive and unpacking it; private to src/data. */
#ifndef SN_DATA_DOWNLOAD_H
#define SN_DATA_DOWNLOAD_H

#include "data/data.h"

enum { SN_MD5_TEXT = 33 }; /* 32 hexadecimal digits and a NUL */

typedef struct sn_download {
    const char *name;         /* of the data set: "cifar10" */
    const char *archive;      /* "cifar-10-binary.tar.gz" */
    const char *md5;          /* of the archive, as its authors publish it */
    const char *folder;       /* in the archive; made in DIR */
    const char *const *files; /* of that folder, NULL-terminated; nothing else is unpacked */
} sn_download;

/* Fetches BASE_URL/archive to DIRECTORY/archive.part (going on where a former attempt stopped), checks it, unpacks the
 * files into DIRECTORY/folder and removes the archive. */
senet_status sn_download_run(const sn_download *what, const char *base_url, const char *directory, sn_progress progress,
                             void *context);

/* The three steps, each over one maintained library. */

/* GET to the end of `path` (libcurl).  After a failure what has arrived stays, for the next attempt. */
senet_status sn_download_fetch(const char *url, const char *path, const char *what, sn_progress progress,
                               void *context);
/* MD5 of a file (nettle). */
senet_status sn_download_md5(const char *path, char text[SN_MD5_TEXT]);
/* FOLDER/file for each of `files` out of the archive into DIRECTORY/FOLDER (libarchive); every one must be there. */
senet_status sn_download_unpack(const char *archive, const char *folder, const char *const *files,
                                const char *directory, sn_progress progress, void *context);

#endif
