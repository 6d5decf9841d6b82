/* Downloads over loopback: a fresh one, a broken one that goes on, a server without ranges, wrong bytes, no such file.
 * The server is Python's; without python3, or in a build without downloads, the test is skipped. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "data/download.h"
#include "unit/test_data_files.h"

#ifdef SENET_WITH_DOWNLOAD

/* Serves the folder of its argument: /ranged/F honours Range, /plain/F does not, /cut/F breaks off half way; every
 * request is a line of `requests`.  Prints its port; ends when its standard input does. */
static const char server_program[] =
    "import http.server, os, sys, threading, tarfile, io\n"
    "root = sys.argv[1]\n"
    "def pack(name, entries):\n"
    "    with tarfile.open(os.path.join(root, name), 'w:gz') as tar:\n"
    "        for entry, data in entries:\n"
    "            info = tarfile.TarInfo(entry); info.size = len(data); tar.addfile(info, io.BytesIO(data))\n"
    "one = [('set/one.bin', os.urandom(200000)), ('set/two.txt', b'two'), ('set/../../three', b'no'), ('/four', "
    "b'no')]\n"
    "pack('good.tar.gz', one)\n"
    "pack('lacking.tar.gz', one[1:])\n"
    "class Handler(http.server.BaseHTTPRequestHandler):\n"
    "    def log_message(self, *a): pass\n"
    "    def do_GET(self):\n"
    "        how, name = self.path.strip('/').split('/', 1)\n"
    "        asked = self.headers.get('Range')\n"
    "        with open(os.path.join(root, 'requests'), 'a') as f: f.write('%s %s %s\\n' % (how, name, asked))\n"
    "        path = os.path.join(root, name)\n"
    "        if how not in ('ranged', 'plain', 'cut') or not os.path.exists(path): return self.send_error(404)\n"
    "        data = open(path, 'rb').read(); first = 0\n"
    "        if how == 'ranged' and asked:\n"
    "            first = int(asked.split('=')[1].split('-')[0])\n"
    "            if first >= len(data): return self.send_error(416)\n"
    "            self.send_response(206)\n"
    "            self.send_header('Content-Range', 'bytes %d-%d/%d' % (first, len(data) - 1, len(data)))\n"
    "        else: self.send_response(200)\n"
    "        self.send_header('Content-Length', str(len(data) - first)); self.end_headers()\n"
    "        self.wfile.write(data[first:] if how != 'cut' else data[:len(data) // 2])\n"
    "server = http.server.HTTPServer(('127.0.0.1', 0), Handler)\n"
    "def end():\n"
    "    sys.stdin.read(); os._exit(0)\n"
    "threading.Thread(target=end, daemon=True).start()\n"
    "print(server.server_address[1], flush=True)\n"
    "server.serve_forever()\n";

static char *root, *folder; /* what is served; where downloads go */
static pid_t server = -1;
static int server_input = -1, port;
static char archive_md5[SN_MD5_TEXT], lacking_md5[SN_MD5_TEXT];

static int start_server(void **state)
{
    (void)state;
    int in[2], out[2];
    char line[32] = "", path[4200];
    root = make_scratch();
    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    server = fork();
    assert_true(server >= 0);
    if (server == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        close(out[0]);
        execlp("python3", "python3", "-c", server_program, root, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    server_input = in[1];
    FILE *answer = fdopen(out[0], "r");
    assert_non_null(fgets(line, sizeof line, answer));
    fclose(answer);
    port = atoi(line);
    snprintf(path, sizeof path, "%s/good.tar.gz", root);
    assert_int_equal(sn_download_md5(path, archive_md5), SENET_OK);
    snprintf(path, sizeof path, "%s/lacking.tar.gz", root);
    return sn_download_md5(path, lacking_md5);
}

static int stop_server(void **state)
{
    (void)state;
    close(server_input);
    waitpid(server, NULL, 0);
    remove_scratch(root);
    return 0;
}

static int make_folder(void **state)
{
    (void)state;
    char path[4200];
    folder = make_scratch();
    snprintf(path, sizeof path, "%s/requests", root);
    remove(path);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    remove_scratch(folder);
    return 0;
}

static const char *const files[] = {"two.txt", "one.bin", NULL};

static senet_status download(const char *how, const char *archive, const char *md5)
{
    char url[64];
    const sn_download what = {.name = "set", .archive = archive, .md5 = md5, .folder = "set", .files = files};
    snprintf(url, sizeof url, "http://127.0.0.1:%d/%s", port, how);
    return sn_download_run(&what, url, folder, NULL, NULL);
}

static size_t size_of(const char *where, const char *name)
{
    char path[8300];
    struct stat about;
    snprintf(path, sizeof path, "%s/%s", where, name);
    return stat(path, &about) == 0 ? (size_t)about.st_size : 0;
}

/* The first `size` bytes of what is served, as a partial file. */
static void put_partial(size_t size)
{
    char path[4200], *bytes = malloc(size);
    snprintf(path, sizeof path, "%s/good.tar.gz", root);
    FILE *file = fopen(path, "rb");
    assert_int_equal(fread(bytes, 1, size, file), size);
    fclose(file);
    put_file(folder, "good.tar.gz.part", bytes, size);
    free(bytes);
}

static void assert_requests(const char *expected)
{
    char path[4200], text[512] = "";
    snprintf(path, sizeof path, "%s/requests", root);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(text, expected);
}

static void assert_unpacked(void)
{
    assert_int_equal(size_of(folder, "set/one.bin"), 200000);
    assert_int_equal(size_of(folder, "set/two.txt"), 3);
    assert_int_equal(size_of(folder, "good.tar.gz.part"), 0);
    assert_int_equal(size_of(folder, "../three") + size_of("/", "four") + size_of(folder, "three"), 0);
}

static void a_set_is_fetched_checked_and_unpacked(void **state)
{
    (void)state;
    assert_int_equal(download("ranged", "good.tar.gz", archive_md5), SENET_OK);
    assert_requests("ranged good.tar.gz None\n");
    assert_unpacked();
}

static void a_broken_download_goes_on_where_it_stopped(void **state)
{
    (void)state;
    assert_int_equal(download("cut", "good.tar.gz", archive_md5), SENET_NO_INPUT);
    assert_non_null(strstr(senet_last_error(), "run again"));
    assert_non_null(strstr(senet_last_error(), archive_md5));
    const size_t whole = size_of(root, "good.tar.gz"), half = size_of(folder, "good.tar.gz.part");
    assert_int_equal(half, whole / 2);
    assert_int_equal(download("ranged", "good.tar.gz", archive_md5), SENET_OK);
    char expected[128];
    snprintf(expected, sizeof expected, "cut good.tar.gz None\nranged good.tar.gz bytes=%zu-\n", half);
    assert_requests(expected);
    assert_unpacked();
}

static void a_whole_partial_file_is_not_fetched_again(void **state)
{
    (void)state;
    put_partial(size_of(root, "good.tar.gz"));
    assert_int_equal(download("ranged", "good.tar.gz", archive_md5), SENET_OK);
    assert_unpacked();
}

static void a_server_without_ranges_sends_the_whole(void **state)
{
    (void)state;
    put_partial(1000);
    assert_int_equal(download("plain", "good.tar.gz", archive_md5), SENET_OK);
    assert_requests("plain good.tar.gz bytes=1000-\nplain good.tar.gz None\n");
    assert_unpacked();
}

static void wrong_bytes_are_refused_and_removed(void **state)
{
    (void)state;
    assert_int_equal(download("ranged", "good.tar.gz", "00000000000000000000000000000000"), SENET_BAD_DATA);
    assert_non_null(strstr(senet_last_error(), archive_md5));
    assert_non_null(strstr(senet_last_error(), "00000000000000000000000000000000"));
    assert_int_equal(size_of(folder, "good.tar.gz.part"), 0);
    assert_int_equal(size_of(folder, "set/two.txt"), 0);
}

static void an_archive_that_lacks_a_file_is_refused(void **state)
{
    (void)state;
    assert_int_equal(download("ranged", "lacking.tar.gz", lacking_md5), SENET_BAD_DATA);
    assert_non_null(strstr(senet_last_error(), "has no set/one.bin"));
}

static void a_missing_archive_says_what_to_do(void **state)
{
    (void)state;
    assert_int_equal(download("nowhere", "good.tar.gz", archive_md5), SENET_NO_INPUT);
    assert_non_null(strstr(senet_last_error(), "404"));
    assert_non_null(strstr(senet_last_error(), "by hand"));
    assert_non_null(strstr(senet_last_error(), folder));
}

static void the_public_call_takes_a_mirror_from_the_environment(void **state)
{
    (void)state;
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/ranged", port);
    setenv("SENET_DATA_URL", url, 1);
    assert_int_equal(sn_data_get("cifar100", folder, NULL, NULL), SENET_NO_INPUT);
    assert_requests("ranged cifar-100-binary.tar.gz None\n");
    put_file(root, "cifar-10-binary.tar.gz", "x", 1);
    assert_int_equal(sn_data_get("cifar10", folder, NULL, NULL), SENET_BAD_DATA);
    assert_non_null(strstr(senet_last_error(), "c32a1d4ab5d03f1284b67883e8d87530"));
    setenv("SENET_DATA_URL", "file:///etc", 1);
    assert_int_equal(sn_data_get("cifar10", folder, NULL, NULL), SENET_NO_INPUT); /* http and https only */
    unsetenv("SENET_DATA_URL");
    assert_int_equal(sn_data_get("cifar1000", folder, NULL, NULL), SENET_USAGE);
}

static void a_set_that_is_there_is_not_fetched(void **state)
{
    (void)state;
    put_cifar10(folder);
    setenv("SENET_DATA_URL", "http://127.0.0.1:1/never", 1);
    assert_int_equal(sn_data_get("cifar10", folder, NULL, NULL), SENET_OK);
    unsetenv("SENET_DATA_URL");
}

int main(void)
{
    if (system("python3 -c 'import http.server, tarfile' 2>/dev/null") != 0) {
        puts("skipped: no python3 to serve files over loopback");
        return 77;
    }
    setenv("no_proxy", "127.0.0.1", 1);
    signal(SIGPIPE, SIG_IGN);
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_set_is_fetched_checked_and_unpacked),
        IN_FOLDER(a_broken_download_goes_on_where_it_stopped),
        IN_FOLDER(a_whole_partial_file_is_not_fetched_again),
        IN_FOLDER(a_server_without_ranges_sends_the_whole),
        IN_FOLDER(wrong_bytes_are_refused_and_removed),
        IN_FOLDER(an_archive_that_lacks_a_file_is_refused),
        IN_FOLDER(a_missing_archive_says_what_to_do),
        IN_FOLDER(the_public_call_takes_a_mirror_from_the_environment),
        IN_FOLDER(a_set_that_is_there_is_not_fetched),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}

#else

int main(void)
{
    puts("skipped: this build has no downloads (libcurl, libarchive, nettle)");
    return 77;
}

#endif
