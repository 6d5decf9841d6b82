/* download.c - `senet data get`: the authors' archives, and the order of the steps.  The steps are in download_steps.c.
 */
#include "data/download.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"

static const char authors_site[] = "https://www.cs.toronto.edu/~kriz";

static const sn_download downloads[] = {
    {"cifar10", "cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530", "cifar-10-batches-bin",
     (const char *const[]){"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
                           "data_batch_5.bin", "test_batch.bin", "batches.meta.txt", NULL}},
    {"cifar100", "cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8", "cifar-100-binary",
     (const char *const[]){"train.bin", "test.bin", "fine_label_names.txt", "coarse_label_names.txt", NULL}},
};

/* Whether DIRECTORY holds the set, whole and well-formed. */
static bool is_there(const char *name, const char *directory)
{
    char *spec = NULL;
    bool there = false;
    size_t bytes = strlen(name) + strlen(directory) + 2;
    if (!(spec = malloc(bytes))) return false;
    snprintf(spec, bytes, "%s:%s", name, directory);
    sn_dataset *train = NULL, *val = NULL;
    there = sn_dataset_open(spec, SN_SPLIT_TRAIN, &train) == SENET_OK &&
            sn_dataset_open(spec, SN_SPLIT_VAL, &val) == SENET_OK;
    sn_dataset_close(train);
    sn_dataset_close(val);
    free(spec);
    return there;
}

#ifdef SENET_WITH_DOWNLOAD

static senet_status check_md5(const sn_download *what, const char *url, const char *path)
{
    char md5[SN_MD5_TEXT];
    SN_RETURN_IF_FAILED(sn_download_md5(path, md5));
    if (strcmp(md5, what->md5) == 0) return SENET_OK;
    unlink(path); /* going on with it would never come right */
    return sn_fail(SENET_BAD_DATA, "%s: its MD5 is %s, the authors' is %s; it was removed, run again to fetch it anew",
                   url, md5, what->md5);
}

/* What to do by hand, behind the message of a failed transfer. */
static senet_status fail_with_advice(senet_status status, const sn_download *what, const char *url,
                                     const char *directory)
{
    char reason[512];
    snprintf(reason, sizeof reason, "%s", senet_last_error());
    return sn_fail(status, "%s; run again to go on, or fetch %s (MD5 %s) by hand and unpack it in %s", reason, url,
                   what->md5, directory);
}

senet_status sn_download_run(const sn_download *what, const char *base_url, const char *directory, sn_progress progress,
                             void *context)
{
    senet_status status;
    sn_arena arena = {0};
    const char *url = sn_arena_printf(&arena, "%s/%s", base_url, what->archive);
    const char *partial = sn_arena_printf(&arena, "%s/%s.part", directory, what->archive);
    if (!url || !partial) {
        status = sn_fail_memory(strlen(base_url) + strlen(directory), "the download's paths");
        goto cleanup;
    }
    SN_TRY(sn_make_directories(directory), cleanup);
    status = sn_download_fetch(url, partial, what->archive, progress, context);
    if (status == SENET_NO_INPUT) status = fail_with_advice(status, what, url, directory);
    if (status != SENET_OK) goto cleanup;
    SN_TRY(check_md5(what, url, partial), cleanup);
    SN_TRY(sn_download_unpack(partial, what->folder, what->files, directory, progress, context), cleanup);
    unlink(partial);
cleanup:
    sn_arena_free(&arena);
    return status;
}

#else

senet_status sn_download_run(const sn_download *what, const char *base_url, const char *directory, sn_progress progress,
                             void *context)
{
    (void)progress;
    (void)context;
    return sn_fail(SENET_USAGE,
                   "this senet was built without downloads (libcurl, libarchive, nettle); fetch %s/%s (MD5 %s) by hand "
                   "and unpack it in %s",
                   base_url, what->archive, what->md5, directory);
}

#endif

senet_status sn_data_get(const char *name, const char *directory, sn_progress progress, void *context)
{
    for (size_t i = 0; i < sizeof downloads / sizeof downloads[0]; i++) {
        if (strcmp(downloads[i].name, name) != 0) continue;
        if (is_there(name, directory)) {
            if (progress) progress(context, 1, 1, "already there");
            return SENET_OK;
        }
        const char *mirror = getenv("SENET_DATA_URL");
        SN_RETURN_IF_FAILED(
            sn_download_run(&downloads[i], mirror && *mirror ? mirror : authors_site, directory, progress, context));
        if (is_there(name, directory)) return SENET_OK;
        return sn_fail_context(SENET_BAD_DATA, "%s: unpacked, but", downloads[i].archive);
    }
    return sn_fail(SENET_USAGE, "no data set '%.64s' to download; known: cifar10, cifar100", name);
}
