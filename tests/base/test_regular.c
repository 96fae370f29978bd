/* SPDX-License-Identifier: Apache-2.0 */
/* A path that is no regular file is refused with its kind, without opening it or waiting for it. */
#include "data/support.h"

#include "base/regular.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void assert_refused(const char *path, sgp_status_t status, const char *reason) {
    char problem[SGP_REGULAR_PROBLEM];
    int file = -1;
    assert_int_equal(sgp_regular_open(path, &file, problem), status);
    assert_string_equal(problem, reason);
    assert_int_equal(file, -1);
}

static void only_a_file_is_opened(void **state) {
    (void)state;
    char directory[64], path[96], problem[SGP_REGULAR_PROBLEM], letters[4];
    int file;
    make_directory(directory);
    snprintf(path, sizeof path, "%s/it", directory);
    assert_refused(path, SGP_ERR_NOT_FOUND, "cannot be opened: No such file or directory");
    assert_refused(directory, SGP_ERR_FORMAT, "is a directory");
    assert_refused("/dev/zero", SGP_ERR_FORMAT, "is not a regular file");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_refused(path, SGP_ERR_FORMAT, "is not a regular file");
    assert_int_equal(unlink(path), 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_refused(path, SGP_ERR_FORMAT, "is not a regular file");
    close(listener);
    assert_int_equal(unlink(path), 0);
    write_file(path, "abc", 3);
    assert_int_equal(sgp_regular_open(path, &file, problem), SGP_OK);
    assert_int_equal(read(file, letters, sizeof letters), 3);
    close(file);
    remove_directory(directory);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(only_a_file_is_opened)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
