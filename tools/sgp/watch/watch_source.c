/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/watch.h"

#include "cli/message.h"
#include "files/json.h"
#include "watch/watch_directory.h"
#include "watch/watch_http.h"
#include "watch/watch_view.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct watch_source {
    watch_directory_t *directory; /* NULL: a server */
    char address[320];
    char token[WATCH_TOKEN]; /* "": none */
};

static bool is_directory(const char *path) {
    struct stat found;
    return stat(path, &found) == 0 && S_ISDIR(found.st_mode);
}

static bool all_digits(const char *text) {
    return *text && text[strspn(text, "0123456789")] == '\0';
}

/* "8080" is a port of this machine. false: it is neither. */
static bool take_address(const char *what, char *address, size_t room) {
    const char *colon = strrchr(what, ':');
    const char *port = colon ? colon + 1 : what;
    if (!all_digits(port) || strlen(port) > 5 || atoi(port) < 1 || atoi(port) > 65535) return false;
    if (colon == what || strchr(what, '/')) return false;
    for (const char *c = what; *c; c++)
        if (!isgraph((unsigned char)*c)) return false;
    return snprintf(address, room, "%s%s", colon ? "" : "127.0.0.1:", what) < (int)room;
}

/* One line, as the server reads it: its newline is no part of the token. */
static bool read_token(const char *path, char token[WATCH_TOKEN]) {
    char text[WATCH_TOKEN + 2];
    struct stat found;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0 || fstat(file, &found) != 0) {
        message_error("--status-token-file %s: %s", path, strerror(errno));
        if (file >= 0) close(file);
        return false;
    }
    ssize_t length = S_ISREG(found.st_mode) ? read(file, text, sizeof text - 1) : -1;
    close(file);
    if (length >= 0) text[length] = '\0';
    size_t end = length > 0 ? strcspn(text, "\r\n") : 0;
    if (end == 0 || end >= WATCH_TOKEN || strlen(text) < end) {
        message_error(
            "--status-token-file %s: its first line must be a token of 1 to %d characters", path,
            WATCH_TOKEN - 1);
        return false;
    }
    memcpy(token, text, end);
    token[end] = '\0';
    return true;
}

watch_source_t *watch_open(const char *what, const char *token_file) {
    char clean[WATCH_PROBLEM];
    watch_source_t *source = calloc(1, sizeof *source);
    watch_clean(what, clean, sizeof clean);
    if (!source) {
        message_error("out of memory for %.300s", clean);
        return NULL;
    }
    bool good = true;
    if (is_directory(what)) {
        source->directory = watch_directory_open(what);
        good = source->directory;
        if (good && token_file) {
            message_error("--status-token-file is for HOST:PORT; %.300s is a directory", clean);
            good = false;
        }
    } else if (!take_address(what, source->address, sizeof source->address)) {
        message_error("%.300s: neither the directory of a run nor HOST:PORT", clean);
        good = false;
    } else if (token_file) good = read_token(token_file, source->token);
    if (good) return source;
    watch_close(source);
    return NULL;
}

void watch_close(watch_source_t *source) {
    if (!source) return;
    watch_directory_close(source->directory);
    free(source);
}

/* The text of an answer: the object of a status server, or a problem. */
static watch_answer_t take_answer(const char *address, const watch_http_answer_t *answer,
                                  json_t **json, char problem[WATCH_PROBLEM]) {
    if (answer->status == 401 || answer->status == 403) {
        snprintf(problem, WATCH_PROBLEM, "%s: wants a token, or another one: --status-token-file",
                 address);
        return WATCH_REFUSED;
    }
    if (answer->status == 429 || answer->status == 503) {
        snprintf(problem, WATCH_PROBLEM, "%s: is asked too often just now", address);
        return WATCH_FAILED;
    }
    files_json_begin();
    *json = answer->status == 200 ? files_json_parse(answer->body, answer->length, 0, NULL) : NULL;
    if (json_is_integer(json_object_get(*json, "version")) &&
        json_is_array(json_object_get(*json, "members"))) {
        bool finished = json_is_true(json_object_get(*json, "finished"));
        json_object_set_new(*json, "state", json_string(finished ? "finished" : "running"));
        return WATCH_READ;
    }
    json_decref(*json);
    *json = NULL;
    snprintf(problem, WATCH_PROBLEM, "%s: something listens there, but no status server of sgp",
             address);
    return WATCH_REFUSED;
}

watch_answer_t watch_read(watch_source_t *source, const int *stops, int count, json_t **json,
                          char problem[WATCH_PROBLEM]) {
    *json = NULL;
    if (source->directory)
        return watch_directory_read(source->directory, json, problem) ? WATCH_READ : WATCH_REFUSED;
    watch_http_answer_t answer;
    watch_http_request_t request = {.address = source->address,
                                    .path = "/status.json",
                                    .token = *source->token ? source->token : NULL,
                                    .stops = stops,
                                    .stop_count = count};
    switch (watch_http_get(&request, &answer, problem)) {
    case WATCH_HTTP_DONE:
        break;
    case WATCH_HTTP_STOPPED:
        return WATCH_STOPPED;
    case WATCH_HTTP_OTHER:
        return WATCH_REFUSED;
    default:
        return WATCH_FAILED;
    }
    watch_answer_t result = take_answer(source->address, &answer, json, problem);
    free(answer.text);
    return result;
}
