/* SPDX-License-Identifier: Apache-2.0 */
/* Who waited for whom, in words. */
#include "flight/flight_view.h"
#include "cli/message.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A text that is cut off where it does not fit. */
typedef struct words {
    char *text;
    size_t room, length;
} words_t;

__attribute__((format(printf, 2, 3))) static void say(words_t *words, const char *format, ...) {
    va_list values;
    va_start(values, format);
    int length =
        vsnprintf(words->text + words->length, words->room - words->length, format, values);
    va_end(values);
    words->length += (size_t)(length > 0 ? length : 0);
    if (words->length >= words->room) words->length = words->room - 1;
}

static void say_time(words_t *words, double seconds) {
    if (seconds < 0.0995) say(words, "%.1f ms", seconds * 1e3);
    else if (seconds < 0.9995) say(words, "%.0f ms", seconds * 1e3);
    else say(words, "%.1f s", seconds);
}

static void say_node(words_t *words, int process) {
    char name[MESSAGE_NODE];
    message_node(process, name);
    say(words, "%s", name);
}

/* ---- a wait ---- */

/* " from node 1", " from node 1, node 4 and node 5", " from node 1 and 12 others". */
static void say_peers(words_t *words, const char *preposition, const flight_wait_t *wait) {
    enum { MOST = 8 };
    size_t count;
    const int *peers = flight_wait_peers(wait, &count);
    for (size_t i = 0; i < count && (count <= MOST || i == 0); i++) {
        say(words, i == 0 ? " %s " : i + 1 < count ? ", " : " and ", preposition);
        say_node(words, peers[i]);
    }
    if (count > MOST) say(words, " and %zu others", count - 1);
}

/* The name of the call that a wait is in. */
static void say_call(words_t *words, const flight_look_t *look) {
    if (look->group->call[0]) say(words, " (in %s)", look->group->call);
}

/* The others have a number, or another preposition. */
static const char *const texts[SGP_FLIGHT_WHATS] = {
    [SGP_FLIGHT_FOR_OTHER] = "something that it does not name",
    [SGP_FLIGHT_FOR_PARTS] = "parts of an all-reduce",
    [SGP_FLIGHT_FOR_COLLECTIVE] = "the message of a collective call",
    [SGP_FLIGHT_FOR_AGREEMENT] = "the message of a collective call",
    [SGP_FLIGHT_FOR_CHAIN] = "a part of a broadcast",
    [SGP_FLIGHT_FOR_SERVER] = "the server's parameters",
    [SGP_FLIGHT_FOR_EXCHANGE] = "its exchange of vectors",
    [SGP_FLIGHT_FOR_REST] = "the last messages before an average",
    [SGP_FLIGHT_FOR_STATE] = "the vector of a member",
    [SGP_FLIGHT_FOR_QUORUM] = "enough other nodes to go on",
    [SGP_FLIGHT_FOR_HALT] = "the other nodes to halt for a checkpoint",
    [SGP_FLIGHT_FOR_THREAD] = "its own progress thread",
};

static void say_what(words_t *words, const flight_look_t *look) {
    const flight_wait_t *wait = look->wait;
    const char *preposition = wait->what == SGP_FLIGHT_FOR_EXCHANGE ? "with" : "from";
    if (wait->what == SGP_FLIGHT_FOR_MESSAGE)
        say(words, "the message of step %" PRIu64, wait->step);
    else if (wait->what == SGP_FLIGHT_FOR_ROOM) {
        say(words, "room to send the message of step %" PRIu64, wait->step);
        preposition = "to";
    } else say(words, "%s", texts[wait->what]);
    say_peers(words, preposition, wait);
    say_call(words, look);
}

static void say_step(words_t *words, const flight_look_t *look) {
    if (look->steps) say(words, "in step %" PRIu64, look->steps - 1);
    else say(words, "before the first step");
}

static void say_wait(words_t *words, const flight_looks_t *looks, int process) {
    const flight_look_t *look = &looks->of[process];
    bool failed = strcmp(look->source->node.why, "failure") == 0;
    say_node(words, process);
    say(words, failed ? " waited " : " waits ");
    say_time(words, look->seconds);
    say(words, " for ");
    say_what(words, look);
    if (!isnan(look->under_way)) {
        say(words, ", which was sent ");
        say_time(words, look->under_way);
        say(words, " before: it is held up on the way");
    }
    if (failed) say(words, ", and then failed: %.200s", look->source->node.text);
}

/* ---- a process that does not wait ---- */

static void say_heard(words_t *words, const flight_look_t *look) {
    if (look->heard_by < 0) {
        say(words, "; no other node has had a message from it");
        return;
    }
    say(words, "; ");
    say_node(words, look->heard_by);
    say(words, " heard from it last ");
    say_time(words, look->heard);
    say(words, " before, ");
    say_step(words, look);
}

static void say_gone(words_t *words, const flight_look_t *look) {
    if (look->state == FLIGHT_UNKNOWN)
        say(words, " has no file: it is stopped, hangs or is cut off");
    else if (look->lost) say(words, " is lost: %s", look->why[0] ? look->why : "its process ended");
    else say(words, " has left in order");
    say_heard(words, look);
}

static void say_outside(words_t *words, const flight_look_t *look) {
    if (strcmp(look->source->node.why, "failure") == 0) {
        say(words, " failed: %.200s", look->source->node.text);
        return;
    }
    say(words, " computes for ");
    say_time(words, look->seconds);
    if (look->steps) say(words, ", since its step %" PRIu64 " has ended", look->steps - 1);
    say(words, " (it is outside of sgp's calls)");
}

static void say_inside(words_t *words, const flight_look_t *look) {
    say(words, " works in %s for ", look->group->call);
    say_time(words, look->seconds);
    say(words, ", ");
    say_step(words, look);
    say(words, ", and waits for nobody");
}

void flight_sentence(const flight_looks_t *looks, int process, char text[FLIGHT_SENTENCE]) {
    const flight_look_t *look = &looks->of[process];
    words_t words = {.text = text, .room = FLIGHT_SENTENCE};
    text[0] = 0;
    if (look->state == FLIGHT_WAITS) {
        say_wait(&words, looks, process);
        return;
    }
    say_node(&words, process);
    switch (look->state) {
    case FLIGHT_INSIDE:
        say_inside(&words, look);
        break;
    case FLIGHT_OUTSIDE:
        say_outside(&words, look);
        break;
    case FLIGHT_GONE:
    case FLIGHT_UNKNOWN:
        say_gone(&words, look);
        break;
    case FLIGHT_NOBODY:
    case FLIGHT_WAITS:
        say(&words, " is not known");
        break;
    }
}

/* ---- the page ---- */

static void print_line(const flight_looks_t *looks, int process, int indent) {
    char text[FLIGHT_SENTENCE];
    flight_sentence(looks, process, text);
    printf("%*s%s\n", indent, "", text);
}

/* The waits that end there, the nearest ones first. */
static int print_waits(const flight_looks_t *looks, int root, int circle) {
    int printed = 0;
    for (int distance = 1; distance <= looks->processes; distance++)
        for (int p = 0; p < looks->processes; p++) {
            const flight_look_t *look = &looks->of[p];
            if (look->state != FLIGHT_WAITS || look->distance != distance || p == root) continue;
            if (look->root != root || look->circle != circle) continue;
            print_line(looks, p, 2);
            printed++;
        }
    return printed;
}

static int count_waits(const flight_looks_t *looks, int root) {
    int count = 0;
    for (int p = 0; p < looks->processes; p++)
        count += looks->of[p].state == FLIGHT_WAITS && looks->of[p].root == root && p != root;
    return count;
}

static void print_roots(const flight_looks_t *looks) {
    for (int p = 0; p < looks->processes; p++) {
        int others = count_waits(looks, p);
        char name[MESSAGE_NODE];
        if (!others) continue;
        message_node(p, name);
        printf("\n%s holds up %d other%s:\n", name, others, others > 1 ? "s" : "");
        print_line(looks, p, 2);
        print_waits(looks, p, -1);
    }
}

/* The processes of a circle in the order of their waits. */
static void print_circle(const flight_looks_t *looks, int first) {
    int at = first;
    printf("\nnodes wait for each other in a circle:\n");
    do {
        print_line(looks, at, 2);
        at = looks->of[at].next;
    } while (at != first);
    for (int p = 0; p < looks->processes; p++) {
        bool leads = looks->of[p].circle == first;
        for (at = looks->of[first].next; leads && at != first; at = looks->of[at].next)
            leads = at != p;
        if (leads && p != first) print_line(looks, p, 4);
    }
}

static void print_circles(const flight_looks_t *looks) {
    for (int p = 0; p < looks->processes; p++)
        if (looks->of[p].circle == p) print_circle(looks, p);
}

/* Nobody waits for these, and they wait for nobody that is known. */
static void print_others(const flight_looks_t *looks) {
    bool first = true;
    for (int p = 0; p < looks->processes; p++) {
        const flight_look_t *look = &looks->of[p];
        bool root = look->state == FLIGHT_WAITS && look->root == p;
        if (look->state == FLIGHT_NOBODY || (look->state == FLIGHT_WAITS && !root)) continue;
        if (count_waits(looks, p)) continue;
        printf("%s", first ? "\n" : "");
        print_line(looks, p, 0);
        first = false;
    }
}

static void print_head(const flight_files_t *files) {
    int64_t first = INT64_MAX, last = INT64_MIN;
    char span[32];
    words_t words = {.text = span, .room = sizeof span};
    for (size_t i = 0; i < files->count; i++) {
        const flight_source_t *source = &files->sources[i];
        int64_t time = source->node.clocks[1].monotonic + source->offset;
        if (time < first) first = time;
        if (time > last) last = time;
    }
    say_time(&words, (double)(last - first) / 1e9);
    printf("%zu file%s (%s), written within %s", files->count, files->count > 1 ? "s" : "",
           files->sources[0].node.why, span);
    if (files->machines > 1 && files->doubt >= 0) {
        words.length = 0;
        say_time(&words, (double)files->doubt / 1e9);
        printf("; %d machines, whose clocks agree within %s", files->machines, span);
    } else if (files->machines > 1)
        printf("; %d machines, whose clocks are taken as they are", files->machines);
    printf("\n");
}

int flight_words_print(const flight_files_t *files, const flight_looks_t *looks) {
    print_head(files);
    print_roots(looks);
    print_circles(looks);
    print_others(looks);
    return 0;
}
