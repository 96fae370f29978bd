/* SPDX-License-Identifier: Apache-2.0 */
#include "report/gnuplot.h"

#include "cli/message.h"
#include "cli/text.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM "gnuplot"

/* The private characters that stand for ASCII on the way through gnuplot. */
enum { PRIVATE = 0xe000, PRIVATE_END = PRIVATE + 0x80 };

extern char **environ;

/* Input, output and errors of the child, in memory files: neither process waits for the other. */
typedef struct child {
    int files[3];
} child_t;

static void close_files(child_t *child) {
    for (int i = 0; i < 3; i++)
        if (child->files[i] >= 0) close(child->files[i]);
}

static bool open_files(child_t *child, const char *input, size_t length) {
    bool open = true;
    for (int i = 0; i < 3; i++) {
        child->files[i] = memfd_create("sgp-plot", MFD_CLOEXEC);
        open = open && child->files[i] >= 0;
    }
    while (open && length > 0) {
        ssize_t written = write(child->files[0], input, length);
        if (written <= 0) break;
        input += written;
        length -= (size_t)written;
    }
    if (open && length == 0 && lseek(child->files[0], 0, SEEK_SET) == 0) return true;
    message_error(PROGRAM ": %s", strerror(errno));
    close_files(child);
    return false;
}

/* The contents as a string; NULL when out of memory. */
static char *contents(int file) {
    off_t size = lseek(file, 0, SEEK_END);
    char *text = size < 0 ? NULL : malloc((size_t)size + 1);
    if (!text) return NULL;
    ssize_t got = pread(file, text, (size_t)size, 0);
    text[got < 0 ? 0 : got] = '\0';
    return text;
}

/* The child begins with no signal blocked, whatever this process blocks. Returns 0 or an errno. */
static int spawn(const child_t *child, char *const *argv, pid_t *pid) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    for (int i = 0; i < 3; i++) posix_spawn_file_actions_adddup2(&actions, child->files[i], i);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    int error = posix_spawnp(pid, argv[0], &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* Runs the child to its end; *ended: its status, as waitpid gives it. Returns 0, or an errno if it
 * could not be started. */
static int run(const child_t *child, char *const *argv, int *ended) {
    pid_t pid;
    *ended = 0;
    int error = spawn(child, argv, &pid);
    if (error) return error;
    while (waitpid(pid, ended, 0) < 0 && errno == EINTR) {
    }
    return 0;
}

/* As run. */
static int try_version(int *ended) {
    char *argv[] = {(char *)PROGRAM, (char *)"--version", NULL};
    child_t child;
    *ended = 0;
    if (!open_files(&child, "", 0)) return EIO;
    int error = run(&child, argv, ended);
    close_files(&child);
    return error;
}

bool gnuplot_found(void) {
    int ended;
    return try_version(&ended) == 0 && ended == 0;
}

bool gnuplot_check(void) {
    int ended, error = try_version(&ended);
    if (error == 0 && ended == 0) return true;
    message_error(PROGRAM ": %s; it draws the plots: apt-get install gnuplot-nox",
                  error == ENOENT ? "not found"
                  : error         ? strerror(error)
                                  : "does not run");
    return false;
}

void gnuplot_text(FILE *script, const char *text) {
    fputc('\'', script);
    for (uint32_t c = text_next(&text); c; c = text_next(&text)) {
        if (c >= PRIVATE && c < PRIVATE_END) c = TEXT_UNKNOWN;
        text_put(script, c < 0x80 && c != ' ' && !isalnum((int)c) ? PRIVATE + c : c);
    }
    fputc('\'', script);
}

/* The end of an element that only describes the picture; NULL: none begins here. */
static const char *skip_description(const char *at) {
    static const char *const names[][2] = {{"<title>", "</title>"}, {"<desc>", "</desc>"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strncmp(at, names[i][0], strlen(names[i][0])) != 0) continue;
        const char *end = strstr(at, names[i][1]);
        return end ? end + strlen(names[i][1]) : NULL;
    }
    return NULL;
}

/* Inside a tag: drops a namespace, or writes an id or a reference to one with `name` before it.
 * Returns the text behind it; NULL: neither begins here. */
static const char *change_tag(FILE *out, const char *at, const char *name) {
    static const struct {
        const char *found, *written;
    } changes[] = {{" id='", " id='"},
                   {" id=\"", " id=\""},
                   {" xlink:href='#", " href='#"},
                   {" xlink:href=\"#", " href=\"#"},
                   {" href='#", " href='#"},
                   {"url(#", "url(#"}};
    if (strncmp(at, "xmlns", 5) == 0) {
        const char *quote = strpbrk(at, "'\"");
        const char *end = quote ? strchr(quote + 1, *quote) : NULL;
        if (end) return end + 1;
    }
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        if (strncmp(at, changes[i].found, strlen(changes[i].found)) != 0) continue;
        fprintf(out, "%s%s-", changes[i].written, name);
        return at + strlen(changes[i].found);
    }
    return NULL;
}

/* Outside of tags: restores the characters that gnuplot_text replaced. */
static const char *copy_text(FILE *out, const char *at) {
    uint32_t character = text_next(&at);
    char ascii[2] = {(char)(character - PRIVATE), '\0'};
    if (character >= PRIVATE && character < PRIVATE_END) text_html(out, ascii);
    else text_put(out, character);
    return at;
}

/* at: inside the first tag. */
static void copy_svg(FILE *out, const char *at, const char *name) {
    bool tag = true;
    while (*at) {
        const char *next = tag ? change_tag(out, at, name) : skip_description(at);
        if (!next && tag) {
            if (*at == '>') tag = false;
            fputc(*at, out);
            next = at + 1;
        } else if (!next) {
            tag = *at == '<';
            next = copy_text(out, at);
        }
        at = next;
    }
}

/* NULL when out of memory. */
static char *clean_svg(const char *start, const char *name, const char *title) {
    char *svg = NULL;
    size_t length;
    FILE *out = open_memstream(&svg, &length);
    if (!out) return NULL;
    fputs("<svg role=\"img\" aria-label=\"", out);
    text_html(out, title);
    fputc('"', out);
    copy_svg(out, start + strlen("<svg"), name);
    if (fclose(out) == 0) return svg;
    free(svg);
    return NULL;
}

/* Prints the first line of gnuplot's errors. */
static void complain(char *errors) {
    char *line = errors ? errors + strspn(errors, "\n\t ^") : NULL;
    if (line) line[strcspn(line, "\n")] = '\0';
    message_error(PROGRAM ": %s", line && *line ? line : "wrote no picture");
}

char *gnuplot_svg(const char *script, size_t length, const char *name, const char *title) {
    /* -d: without the user's start-up file */
    char *argv[] = {(char *)PROGRAM, (char *)"-d", (char *)"-", NULL};
    child_t child;
    int ended;
    if (!open_files(&child, script, length)) return NULL;
    int error = run(&child, argv, &ended);
    if (error) {
        message_error(PROGRAM ": %s", strerror(error));
        close_files(&child);
        return NULL;
    }
    char *output = contents(child.files[1]), *errors = contents(child.files[2]), *svg = NULL;
    const char *start = output ? strstr(output, "<svg") : NULL;
    if (ended == 0 && start && strstr(start, "</svg>")) svg = clean_svg(start, name, title);
    if (!svg) complain(errors);
    free(errors);
    free(output);
    close_files(&child);
    return svg;
}
