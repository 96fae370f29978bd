/* SPDX-License-Identifier: Apache-2.0 */
/* Keys from files, options and the environment. */
#include "cmocka_all.h"

#include "group/join/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static sgp_key_t key_of(const char *secret) {
    sgp_key_t key;
    assert_int_equal(sgp_key_make(secret, strlen(secret), &key), SGP_OK);
    return key;
}

static sgp_status_t read_key(const char *text, mode_t mode, sgp_key_t *key) {
    char path[] = "/tmp/sgp-test-key-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(file, mode), 0);
    close(file);
    sgp_status_t status = sgp_secret_read(path, key);
    unlink(path);
    return status;
}

static void test_key_files(void **state) {
    (void)state;
    sgp_key_t key, right = key_of("a secret of 23 bytes...");
    assert_int_equal(read_key("a secret of 23 bytes...", 0600, &key), SGP_OK);
    assert_memory_equal(&key, &right, sizeof key);
    assert_int_equal(read_key("a secret of 23 bytes...\r\n\n", 0400, &key), SGP_OK);
    assert_memory_equal(&key, &right, sizeof key);
    assert_int_equal(read_key("a secret of 23 bytes...", 0640, &key), SGP_ERR_INVALID);
    assert_int_equal(read_key("a secret of 23 bytes...", 0604, &key), SGP_ERR_INVALID);
    assert_int_equal(read_key("fifteen bytes..\n\n\n\n", 0600, &key), SGP_ERR_INVALID);
    assert_int_equal(sgp_secret_read("/nowhere/at/all", &key), SGP_ERR_INVALID);
    assert_int_equal(sgp_secret_read("/tmp", &key), SGP_ERR_INVALID);
}

/* A larger file is refused as a whole, and a pipe without waiting for a writer. */
static void test_key_file_limits(void **state) {
    (void)state;
    sgp_key_t key;
    char text[4098];
    memset(text, 'k', sizeof text);
    text[4096] = '\0';
    assert_int_equal(read_key(text, 0600, &key), SGP_OK);
    text[4096] = 'k';
    text[4097] = '\0';
    assert_int_equal(read_key(text, 0600, &key), SGP_ERR_INVALID);
    char folder[] = "/tmp/sgp-test-key-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/pipe", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(sgp_secret_read(path, &key), SGP_ERR_INVALID);
    unlink(path);
    rmdir(folder);
}

/* A key of the options comes before one of the environment, a file before a text. */
static void test_order(void **state) {
    (void)state;
    static const char text[] = "the secret of a text", other[] = "the secret of a file";
    char path[] = "/tmp/sgp-test-key-XXXXXX";
    sgp_key_t key, of_text = key_of(text), of_file = key_of(other);
    bool keyed = true;
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, other, strlen(other)), strlen(other));
    close(file);
    unsetenv("SGP_KEY");
    unsetenv("SGP_KEY_FILE");
    assert_int_equal(sgp_secret_find(&(sgp_group_options_t){0}, &keyed, &key), SGP_OK);
    assert_false(keyed);
    setenv("SGP_KEY", text, 1);
    assert_int_equal(sgp_secret_find(&(sgp_group_options_t){0}, &keyed, &key), SGP_OK);
    assert_true(keyed);
    assert_memory_equal(&key, &of_text, sizeof key);
    setenv("SGP_KEY_FILE", path, 1);
    assert_int_equal(sgp_secret_find(&(sgp_group_options_t){0}, &keyed, &key), SGP_OK);
    assert_memory_equal(&key, &of_file, sizeof key);
    assert_int_equal(sgp_secret_find(&(sgp_group_options_t){.key = text}, &keyed, &key), SGP_OK);
    assert_memory_equal(&key, &of_text, sizeof key);
    unsetenv("SGP_KEY");
    unsetenv("SGP_KEY_FILE");
    unlink(path);
}

/* An option overrides the environment, "auto" too; without one the environment decides. */
static void test_encryption(void **state) {
    (void)state;
    static const struct {
        const char *environment;
        uint64_t option;
        sgp_encryption_t encryption;
    } rows[] = {
        {NULL, 0, SGP_ENCRYPTION_AUTO},
        {"", 0, SGP_ENCRYPTION_AUTO},
        {"auto", 0, SGP_ENCRYPTION_AUTO},
        {"on", 0, SGP_ENCRYPTION_ON},
        {"off", 0, SGP_ENCRYPTION_OFF},
        {"off", SGP_ENCRYPTION_ON, SGP_ENCRYPTION_ON},
        {"on", SGP_ENCRYPTION_OFF, SGP_ENCRYPTION_OFF},
        {"on", SGP_ENCRYPTION_AUTO_ALWAYS, SGP_ENCRYPTION_AUTO},
        {"off", SGP_ENCRYPTION_AUTO_ALWAYS, SGP_ENCRYPTION_AUTO},
        {NULL, SGP_ENCRYPTION_AUTO_ALWAYS, SGP_ENCRYPTION_AUTO},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sgp_group_options_t options = {.encryption = rows[i].option};
        sgp_encryption_t encryption = SGP_ENCRYPTION_LAST;
        if (rows[i].environment) setenv("SGP_ENCRYPTION", rows[i].environment, 1);
        else unsetenv("SGP_ENCRYPTION");
        assert_int_equal(sgp_secret_encryption(&options, true, &encryption), SGP_OK);
        assert_int_equal(encryption, rows[i].encryption);
    }
    setenv("SGP_ENCRYPTION", "sometimes", 1);
    sgp_encryption_t encryption;
    sgp_group_options_t none = {.encryption = 0}, unknown = {.encryption = SGP_ENCRYPTION_LAST + 1};
    assert_int_equal(sgp_secret_encryption(&none, true, &encryption), SGP_ERR_INVALID);
    unsetenv("SGP_ENCRYPTION");
    assert_int_equal(sgp_secret_encryption(&unknown, true, &encryption), SGP_ERR_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_files), cmocka_unit_test(test_key_file_limits),
        cmocka_unit_test(test_order), cmocka_unit_test(test_encryption)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
