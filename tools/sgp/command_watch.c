/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp watch`: what a run does, about once a second, until q. */
#include "command.h"
#include "cli/message.h"
#include "watch/watch.h"
#include "watch/watch_terminal.h"
#include "watch/watch_text.h"

#include "base/clock.h"
#include "run/pacing.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EVERY_MS = 1000 };

typedef struct watch_settings {
    const char *token_file;
    bool help;
} watch_settings_t;

#define AT(member) offsetof(watch_settings_t, member)

static const option_t options[] = {
    WATCH_TOKEN_ROW(AT(token_file)),
    {.name = "help", .type = OPTION_FLAG, .offset = AT(help), .help = "print this text and end"},
    {0},
};

const option_table_t watch_table = {
    .command = "watch",
    .any_bytes = true,
    .synopsis = "sgp watch DIR|[HOST:]PORT",
    .about =
        "Shows in the terminal what a run does, about once a second; q ends it. DIR is a run's\n"
        "directory, HOST:PORT the status server of a node (--status). Without a terminal it "
        "prints\n"
        "a line whenever the step has changed, and ends with the run. The exit status is that of\n"
        "sgp status.",
    .manual = "No colour says what a word does not say as well; NO_COLOR leaves them out.",
    .parts = {{.rows = options}},
    .operands = true,
};

/* What was seen last. */
typedef struct seen {
    watch_view_t view;
    bool any;
    watch_answer_t answer; /* of the last try */
    char problem[WATCH_PROBLEM];
} seen_t;

/* After a failure the last numbers stay. */
static void look(watch_source_t *source, const int *stops, int count, seen_t *seen) {
    json_t *json;
    watch_view_t view;
    watch_answer_t answer = watch_read(source, stops, count, &json, seen->problem);
    if (answer == WATCH_STOPPED) return;
    seen->answer = answer;
    if (answer != WATCH_READ) return;
    if (watch_view_fill(&view, json)) {
        if (seen->any) watch_view_release(&seen->view);
        seen->view = view;
        seen->any = true;
    }
    json_decref(json);
}

static int status_of(const seen_t *seen) {
    if (!seen->any) return EXIT_MISTAKE;
    return watch_view_is_good(&seen->view) ? 0 : EXIT_FAILED;
}

/* ---- a terminal ---- */

/* false: the terminal is gone. */
static bool draw(const seen_t *seen) {
    char *text = NULL, clean[WATCH_PROBLEM];
    size_t length;
    int width, height;
    terminal_size(&width, &height);
    FILE *out = open_memstream(&text, &length);
    if (!out) return true;
    bool failed = seen->answer != WATCH_READ;
    watch_style_t style = watch_style_of(width, height > 3 ? height - 2 : 1, true);
    if (seen->any) watch_text_draw(out, &seen->view, &style, TERMINAL_LINE);
    if (failed)
        fprintf(out, "%.*s" TERMINAL_LINE, width, watch_clean(seen->problem, clean, sizeof clean));
    fputs("q: end", out);
    bool shown = fclose(out) != 0 || terminal_show(text, length);
    free(text);
    return shown;
}

static int end_of(const seen_t *seen) {
    int number = terminal_signal();
    return number ? 128 + number : status_of(seen);
}

static int watch_here(watch_source_t *source, seen_t *seen) {
    int stops[2], count = terminal_descriptors(stops);
    terminal_event_t event = TERMINAL_NOTHING;
    bool there = true;
    while (there && event != TERMINAL_END) {
        uint64_t next = sgp_clock_now() + (uint64_t)EVERY_MS * 1000000u;
        look(source, stops, count, seen);
        there = draw(seen);
        for (uint64_t now; there && event != TERMINAL_END && (now = sgp_clock_now()) < next;) {
            event = terminal_wait((int)((next - now) / 1000000u) + 1);
            if (event == TERMINAL_DRAW) there = draw(seen);
        }
        if (event == TERMINAL_NOTHING || event == TERMINAL_DRAW) event = terminal_wait(0);
    }
    return there ? end_of(seen) : EXIT_FAILED;
}

/* ---- none ---- */

static void print_line(const watch_view_t *view) {
    printf("%s: epoch %.0f step %.0f", view->state, fmax(view->epoch, 0), fmax(view->step, 0));
    if (isfinite(view->loss)) printf(" loss %.4f", view->loss);
    if (isfinite(view->accuracy)) printf(" accuracy %.4f", view->accuracy);
    if (isfinite(view->samples_per_second)) printf(" %.0f samples/s", view->samples_per_second);
    if (isfinite(view->live) && isfinite(view->total))
        printf(" nodes %.0f of %.0f", view->live, view->total);
    for (int i = 0; i < view->members; i++) {
        const view_member_t *member = &view->member[i];
        if (member->slow) printf(", %s slow", member->name);
        if (member->condition == VIEW_SILENT) printf(", %s silent", member->name);
        if (member->condition == VIEW_GONE && watch_view_is_good(view))
            printf(", %s gone", member->name);
    }
    putchar('\n');
    fflush(stdout);
}

/* Until the run has ended, or nobody can be asked any more. */
static int print_lines(watch_source_t *source, seen_t *seen) {
    double step = -1;
    for (;;) {
        look(source, NULL, 0, seen);
        if (seen->answer != WATCH_READ) break;
        bool runs = strcmp(seen->view.state, "running") == 0;
        if (!runs || seen->view.step != step) print_line(&seen->view);
        step = seen->view.step;
        if (!runs || ferror(stdout)) return status_of(seen);
        pacing_sleep_ns((uint64_t)EVERY_MS * 1000000u, NULL);
    }
    message_error("%s", seen->problem);
    return seen->any ? EXIT_FAILED : EXIT_MISTAKE;
}

static int watch_run(watch_source_t *source) {
    seen_t *seen = calloc(1, sizeof *seen);
    if (!seen) return EXIT_FAILED;
    bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    int status = EXIT_MISTAKE;
    /* The first answer decides whether there is anything to watch. */
    look(source, NULL, 0, seen);
    if (!seen->any) message_error("%s", seen->problem);
    else if (!terminal) status = print_lines(source, seen);
    else if (!terminal_open()) message_error("the terminal cannot be used: %s", strerror(errno));
    else {
        status = watch_here(source, seen);
        terminal_close();
        if (seen->answer != WATCH_READ) message_error("%s", seen->problem);
    }
    if (seen->any) watch_view_release(&seen->view);
    free(seen);
    return status;
}

int command_watch(int argc, char **argv) {
    watch_settings_t settings = {0};
    const char *what;
    if (!options_parse_one(&watch_table, argc, argv, &settings, &what)) return EXIT_MISTAKE;
    if (settings.help) {
        options_help(&watch_table);
        return 0;
    }
    if (!what) {
        message_error("watch: the run is missing; %s", watch_table.synopsis);
        return EXIT_MISTAKE;
    }
    watch_source_t *source = watch_open(what, settings.token_file);
    int status = source ? watch_run(source) : EXIT_MISTAKE;
    watch_close(source);
    return status;
}
