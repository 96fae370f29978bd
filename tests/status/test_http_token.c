/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"

#include "base/logging.h"
#include "status/server/http_token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/sgp-token-XXXXXX", path[64], logged[SGP_LOG_LINE];
static int lines;

static void keep(sgp_log_level_t level, int rank, const char *line, void *user) {
    (void)level;
    (void)rank;
    (void)user;
    lines++;
    snprintf(logged, sizeof logged, "%s", line);
}

static sgp_status_t read_token(const char *text, size_t length, unsigned mode,
                               http_token_t *token) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
    lines = 0;
    sgp_status_t status = http_token_read(path, token);
    unlink(path);
    return status;
}

/* "Basic " and base64 of "any:sesame", "any:sesam", "any:sesame2". */
static const char right[] = "Basic YW55OnNlc2FtZQ==", shorter[] = "Basic YW55OnNlc2Ft",
                  longer[] = "Basic YW55OnNlc2FtZTI=";

static void test_the_token_opens(void **state) {
    (void)state;
    http_token_t token;
    static const char *const files[] = {"sesame", "sesame\n", "sesame\r\n", "sesame  \n\n"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        assert_int_equal(read_token(files[i], strlen(files[i]), 0600, &token), SGP_OK);
        assert_true(http_token_given(&token, right));
        assert_false(http_token_given(&token, shorter));
        assert_false(http_token_given(&token, longer));
        assert_false(http_token_given(&token, "Basic Og=="));
        assert_false(http_token_given(&token, "sesame"));
        assert_false(http_token_given(&token, NULL));
    }
    assert_int_equal(http_token_read(NULL, &token), SGP_OK);
    assert_true(http_token_given(&token, NULL));
}

static void assert_refused(const char *text, size_t length, unsigned mode, const char *why) {
    http_token_t token = {.wanted = false};
    assert_int_equal(read_token(text, length, mode, &token), SGP_ERR_INVALID);
    assert_int_equal(lines, 1);
    assert_non_null(strstr(logged, path));
    assert_non_null(strstr(logged, why));
    assert_false(token.wanted);
}

static void test_bad_files_are_refused(void **state) {
    (void)state;
    char large[2000];
    memset(large, 'a', sizeof large);
    assert_refused("sesame\n", 7, 0640, "others may read it");
    assert_refused("sesame\n", 7, 0604, "others may read it");
    assert_refused("", 0, 0600, "empty");
    assert_refused(" \n\n", 3, 0600, "empty");
    assert_refused("one\ntwo\n", 8, 0600, "one line");
    assert_refused("a\0b", 3, 0600, "one line");
    assert_refused(large, sizeof large, 0600, "at most");
}

static void test_what_is_no_file(void **state) {
    (void)state;
    http_token_t token;
    lines = 0;
    assert_int_equal(http_token_read(path, &token), SGP_ERR_IO);
    assert_int_equal(http_token_read(folder, &token), SGP_ERR_IO);
    assert_non_null(strstr(logged, "is a directory"));
    assert_int_equal(lines, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_token_opens),
        cmocka_unit_test(test_bad_files_are_refused),
        cmocka_unit_test(test_what_is_no_file),
    };
    if (!mkdtemp(folder)) return 1;
    snprintf(path, sizeof path, "%s/token", folder);
    sgp_log_set(keep, NULL, SGP_LOG_INFO);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(folder);
    return failed;
}
