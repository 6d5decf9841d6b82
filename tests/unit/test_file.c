/* test_file.c - files are read whole or refused by name, and replaced whole or not at all. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/file.h"
#include "test_data_files.h"
#include "test_failures.h"

static char *folder;

static int set_up(void **state)
{
    (void)state;
    folder = make_scratch();
    return folder ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    remove_scratch(folder);
    return 0;
}

static char *in_folder(const char *name)
{
    return sn_path_join(folder, name);
}

static void assert_content(const char *path, const char *wanted)
{
    char *bytes = NULL;
    size_t size = 0;
    assert_works(sn_file_read(path, 1 << 20, &bytes, &size));
    assert_int_equal(size, strlen(wanted));
    assert_string_equal(bytes, wanted);
    free(bytes);
}

static void assert_absent(const char *name)
{
    char *path = in_folder(name);
    assert_int_equal(access(path, F_OK), -1);
    free(path);
}

static void reading(void **state)
{
    (void)state;
    char *bytes = NULL, *path = in_folder("a.txt");
    size_t size = 0;
    put_text(folder, "a.txt", "twelve bytes");
    assert_content(path, "twelve bytes");
    assert_works(sn_file_read(path, 12, &bytes, &size));
    free(bytes);
    assert_fails(sn_file_read(path, 11, &bytes, &size), SENET_BAD_DATA, path, "larger than the 11 bytes");
    assert_fails(sn_file_read("/dev/zero", 100000, &bytes, &size), SENET_BAD_DATA,
                 "/dev/zero: larger than the 100000 bytes");
    assert_fails(sn_file_read(folder, 100, &bytes, &size), SENET_NO_INPUT, folder, ": Is a directory");
    assert_fails(sn_file_read("/nowhere/x", 100, &bytes, &size), SENET_NO_INPUT,
                 "/nowhere/x: No such file or directory");
    free(path);
}

static void mapping(void **state)
{
    (void)state;
    sn_mapping map = {0};
    char *path = in_folder("m.bin"), *empty = in_folder("empty");
    put_text(folder, "m.bin", "mapped");
    put_text(folder, "empty", "");
    assert_works(sn_file_map(path, &map));
    assert_int_equal(map.size, 6);
    assert_memory_equal(map.bytes, "mapped", 6);
    sn_file_unmap(&map);
    assert_works(sn_file_map(empty, &map));
    assert_int_equal(map.size, 0);
    assert_non_null(map.bytes);
    sn_file_unmap(&map);
    sn_file_unmap(&map);
    assert_fails(sn_file_map(folder, &map), SENET_NO_INPUT, folder, ": Is a directory");
    assert_fails(sn_file_map("/dev/null", &map), SENET_NO_INPUT, "/dev/null: not a regular file");
    free(path);
    free(empty);
}

static void replacing(void **state)
{
    (void)state;
    sn_file_writer *writer = NULL;
    char *path = in_folder("r.txt"), *leftover = in_folder("r.txt.tmp");
    put_text(folder, "r.txt", "old");
    assert_int_equal(chmod(path, 0640), 0);
    put_text(folder, "r.txt.tmp", "left by a program that was killed: longer than what comes");
    assert_works(sn_file_writer_open(path, &writer));
    assert_works(sn_file_writer_write(writer, "new ", 4));
    assert_content(path, "old"); /* until commit */
    assert_works(sn_file_writer_write(writer, "text", 4));
    assert_works(sn_file_writer_commit(writer));
    assert_content(path, "new text");
    assert_absent("r.txt.tmp");
    struct stat facts;
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0640);

    assert_works(sn_file_writer_open(path, &writer));
    assert_works(sn_file_writer_write(writer, "dropped", 7));
    sn_file_writer_discard(writer);
    sn_file_writer_discard(NULL);
    assert_content(path, "new text");
    assert_absent("r.txt.tmp");
    free(path);
    free(leftover);
}

static void links_stay(void **state)
{
    (void)state;
    char *target = in_folder("target.txt"), *link = in_folder("link.txt");
    put_text(folder, "target.txt", "old");
    assert_int_equal(symlink("target.txt", link), 0);
    assert_works(sn_file_write(link, "new", 3));
    struct stat facts;
    assert_int_equal(lstat(link, &facts), 0);
    assert_true(S_ISLNK(facts.st_mode));
    assert_content(target, "new");
    free(target);
    free(link);
}

/* A full disk, told by the file size limit: write() fails after 100000 bytes, as it would with ENOSPC. */
static void failure_leaves_the_old_file(void **state)
{
    (void)state;
    char *path = in_folder("full.bin");
    char *bytes = calloc(1, 300000);
    put_text(folder, "full.bin", "old");
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 100000;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    senet_status at_once = sn_file_write(path, bytes, 300000);
    sn_file_writer *writer = NULL;
    senet_status open = sn_file_writer_open(path, &writer), bit_by_bit = SENET_OK;
    for (int i = 0; i < 300 && bit_by_bit == SENET_OK; i++) bit_by_bit = sn_file_writer_write(writer, bytes, 1000);
    sn_file_writer_discard(writer);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_DFL);
    assert_works(open);
    assert_fails(at_once, SENET_CANNOT_WRITE, path, ": File too large");
    assert_fails(bit_by_bit, SENET_CANNOT_WRITE, path, ": File too large");
    assert_content(path, "old");
    assert_absent("full.bin.tmp");
    free(bytes);
    free(path);
}

static void devices_are_written_in_place(void **state)
{
    (void)state;
    if (access("/dev/full", W_OK) != 0) skip();
    assert_works(sn_file_write("/dev/null", "x", 1));
    assert_fails(sn_file_write("/dev/full", "x", 1), SENET_CANNOT_WRITE, "/dev/full: No space left on device");
}

static void bad_places(void **state)
{
    (void)state;
    sn_file_writer *writer = NULL;
    char *path = in_folder("file"), *below = in_folder("file/x"), *absent = in_folder("absent/x");
    put_text(folder, "file", "x");
    assert_fails(sn_file_writer_open(below, &writer), SENET_CANNOT_WRITE, below, ": Not a directory");
    assert_fails(sn_file_writer_open(absent, &writer), SENET_CANNOT_WRITE, absent, ": No such file or directory");
    assert_fails(sn_file_writer_open(folder, &writer), SENET_CANNOT_WRITE, folder, ": Is a directory");
    assert_null(writer);
    free(path);
    free(below);
    free(absent);
}

/* A program killed in the middle of writing leaves the old file; the next writer takes its temporary over. */
static void killed_writer(void **state)
{
    (void)state;
    char *path = in_folder("killed.txt");
    put_text(folder, "killed.txt", "old");
    pid_t child = fork();
    if (child == 0) {
        sn_file_writer *writer = NULL;
        static char block[1 << 17];
        if (sn_file_writer_open(path, &writer) == SENET_OK) sn_file_writer_write(writer, block, sizeof block);
        kill(getpid(), SIGKILL);
    }
    int how;
    waitpid(child, &how, 0);
    assert_true(WIFSIGNALED(how));
    assert_content(path, "old");
    assert_works(sn_file_write(path, "new", 3));
    assert_content(path, "new");
    assert_absent("killed.txt.tmp");
    free(path);
}

static void paths(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"}, {"a", "/b", "/b"}, {"/", "b", "/b"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = sn_path_join(cases[i][0], cases[i][1]);
        assert_string_equal(path, cases[i][2]);
        free(path);
    }
}

static void directories(void **state)
{
    (void)state;
    char *deep = in_folder("one/two//three/"), *plain = in_folder("plain"), *below = in_folder("plain/sub/x");
    assert_works(sn_make_directories(deep));
    assert_true(sn_is_directory(deep));
    assert_works(sn_make_directories(deep));
    put_text(folder, "plain", "x");
    assert_true(sn_is_file(plain));
    assert_false(sn_is_directory(plain));
    assert_fails(sn_make_directories(below), SENET_CANNOT_WRITE, plain, ": Not a directory");
    assert_fails(sn_make_directories(plain), SENET_CANNOT_WRITE, plain, ": Not a directory");
    assert_fails(sn_make_directories(""), SENET_CANNOT_WRITE, "No such file or directory");
    free(deep);
    free(plain);
    free(below);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading),
        cmocka_unit_test(mapping),
        cmocka_unit_test(replacing),
        cmocka_unit_test(links_stay),
        cmocka_unit_test(failure_leaves_the_old_file),
        cmocka_unit_test(devices_are_written_in_place),
        cmocka_unit_test(bad_places),
        cmocka_unit_test(killed_writer),
        cmocka_unit_test(paths),
        cmocka_unit_test(directories),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
