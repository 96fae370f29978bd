/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp key new`: a file with a fresh key for --key-file. */
#include "command.h"
#include "cli/message.h"
#include "cli/options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { KEY_BYTES = 32, KEY_TEXT = 2 * KEY_BYTES + 1 };

typedef struct key_settings {
    bool help;
} key_settings_t;

static const option_t options[] = {{.name = "help",
                                    .type = OPTION_FLAG,
                                    .offset = offsetof(key_settings_t, help),
                                    .help = "print this text and end"},
                                   {0}};

const option_table_t key_table = {
    .command = "key",
    .synopsis = "sgp key new FILE",
    .about = "Writes a fresh random key into FILE, which must not exist. Only its owner may read\n"
             "it. Copy it to every node (scp -p), and give it to sgp train with --key-file.",
    .parts = {{.rows = options}},
    .operands = true,
};

/* The key as text that editors and shells leave alone, and a newline. */
static bool make_text(char text[KEY_TEXT]) {
    static const char digits[] = "0123456789abcdef";
    unsigned char key[KEY_BYTES];
    if (getrandom(key, sizeof key, 0) != (ssize_t)sizeof key) return false;
    for (int i = 0; i < KEY_BYTES; i++) {
        text[2 * i] = digits[key[i] >> 4];
        text[2 * i + 1] = digits[key[i] & 15];
    }
    text[KEY_TEXT - 1] = '\n';
    explicit_bzero(key, sizeof key);
    return true;
}

static bool write_text(const char *path, int file, const char text[KEY_TEXT]) {
    bool good = write(file, text, KEY_TEXT) == KEY_TEXT && fsync(file) == 0;
    int error = errno;
    good &= close(file) == 0;
    if (good) return true;
    unlink(path);
    message_error("%s: cannot be written: %s", path, strerror(error));
    return false;
}

static int make_key(const char *path) {
    char text[KEY_TEXT];
    if (!make_text(text)) {
        message_error("the system gives no random numbers: %s", strerror(errno));
        return EXIT_FAILED;
    }
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool good = file >= 0 && write_text(path, file, text);
    if (file < 0)
        message_error("%s: cannot be made: %s%s", path, strerror(errno),
                      errno == EEXIST ? "; nodes may be using it: name another file" : "");
    explicit_bzero(text, sizeof text);
    if (good) message_line("%s: a new key; copy it to every node, and give --key-file", path);
    return good ? 0 : EXIT_MISTAKE;
}

int command_key(int argc, char **argv) {
    key_settings_t settings = {0};
    int first;
    options_init(&key_table, &settings);
    if (!options_parse(&key_table, argc, argv, &settings, &first)) return EXIT_MISTAKE;
    if (settings.help) {
        options_help(&key_table);
        return 0;
    }
    if (argc - first == 2 && strcmp(argv[first], "new") == 0) return make_key(argv[first + 1]);
    message_error("key: usage: %s", key_table.synopsis);
    return EXIT_MISTAKE;
}
