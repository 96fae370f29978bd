/* SPDX-License-Identifier: Apache-2.0 */
/* The fate of each rank of a transport, as this process knows it: present, left in order, or lost,
 * with the first cause. A present rank can be silent, and is heard again or lost.
 *
 * A rank is a seat, which members use one after the other. Each use has an incarnation, counted from
 * 0. A seat without a member is absent until it is opened for a newcomer. The fate of a member
 * changes once, and each change is an event with a number, so a caller that keeps its own count sees
 * every change once. The transport writes the table (transport.h, sgp_transport_note); its callers
 * read it. Any thread may call. */
#ifndef SGP_TRANSPORT_FATES_H
#define SGP_TRANSPORT_FATES_H

#include <sgp/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum sgp_fate_state {
    SGP_FATE_PRESENT,
    SGP_FATE_LEFT, /* in order */
    SGP_FATE_LOST,
    SGP_FATE_ABSENT, /* the seat has no member yet */
} sgp_fate_state_t;

/* X(name, text after "node 2 is lost: ") */
#define SGP_CAUSE_MAP(X)                                                                           \
    X(NONE, "")                                                                                    \
    X(ENDED, "its process ended")                                                                  \
    X(SILENT, "it has been silent for too long")                                                   \
    X(CLOSED, "its connection ended")                                                              \
    X(REFUSED, "it refuses connections")                                                           \
    X(UNREACHED, "it cannot be reached")                                                           \
    X(NONSENSE, "it broke the protocol")                                                           \
    X(FAILED, "a system call failed")                                                              \
    X(ABORTED, "it aborted")                                                                       \
    X(STRUCK_OFF, "the others have struck it off")                                                 \
    /* Not a first cause: it ended as a consequence of another's loss. */                          \
    X(FOLLOWED, "it ended because another node was lost")

typedef enum sgp_cause {
#define SGP_CAUSE_ENUM(name, text) SGP_CAUSE_##name,
    SGP_CAUSE_MAP(SGP_CAUSE_ENUM)
#undef SGP_CAUSE_ENUM
        SGP_CAUSES
} sgp_cause_t;

typedef struct sgp_fate {
    sgp_fate_state_t state;
    sgp_cause_t cause; /* of a loss */
    int of;            /* FOLLOWED: the rank whose loss it ended for; otherwise -1 */
} sgp_fate_t;

static inline sgp_fate_t sgp_fate_left(void) {
    return (sgp_fate_t){SGP_FATE_LEFT, SGP_CAUSE_NONE, -1};
}
static inline sgp_fate_t sgp_fate_lost(sgp_cause_t cause) {
    return (sgp_fate_t){SGP_FATE_LOST, cause, -1};
}
static inline sgp_fate_t sgp_fate_followed(int of) {
    return (sgp_fate_t){SGP_FATE_LOST, SGP_CAUSE_FOLLOWED, of};
}

/* Static. */
const char *sgp_cause_text(sgp_cause_t cause);

/* A rank below SGP_MOST_PROCESSES and the first cause of its loss in one word, as processes
 * exchange it; never 0. */
uint32_t sgp_loss_pack(int rank, sgp_cause_t cause);

/* false: the word is none. */
bool sgp_loss_unpack(uint32_t word, int size, int *rank, sgp_cause_t *cause);

typedef struct sgp_fates sgp_fates_t;

/* Of `capacity` seats, the first `size` of them present. SGP_ERR_NO_MEMORY. */
sgp_status_t sgp_fates_create(int capacity, int size, sgp_fates_t **fates);
void sgp_fates_destroy(sgp_fates_t *fates); /* NULL is fine */

/* In a forked child, in which a thread that does not exist may hold the table's lock. */
void sgp_fates_forked(sgp_fates_t *fates);

/* Sets the fate of a rank. why: copied; NULL: the cause's text. false: it had changed before, and
 * stays. */
bool sgp_fates_set(sgp_fates_t *fates, int rank, sgp_fate_t fate, const char *why);

sgp_fate_t sgp_fates_of(sgp_fates_t *fates, int rank);

/* The members that a newcomer finds, before anybody else reads the table. state: PRESENT, LEFT (gone in whichever way) or
 * ABSENT. Counts as no change and no event. */
void sgp_fates_seat(sgp_fates_t *fates, int rank, uint32_t incarnation, sgp_fate_state_t state);

/* Whether a newcomer has found the seat's member gone: that one has sent it nothing, and no change tells of it. One atomic
 * load where there was none. */
bool sgp_fates_found_gone(sgp_fates_t *fates, int rank);

/* The seat is given to a newcomer, which is present from now on: an event. false: its present member
 * has this incarnation or a later one, or an earlier one that is present; nothing changes. */
bool sgp_fates_open(sgp_fates_t *fates, int rank, uint32_t incarnation);

/* Of the latest member of the seat; 0 for one that was never used. One atomic load. */
uint32_t sgp_fates_incarnation(const sgp_fates_t *fates, int rank);

/* Calls told(context, rank) for the first loss, and again for the cause if that one followed
 * another's, before any caller can see it. In the thread that noticed it, with the table locked. */
void sgp_fates_on_loss(sgp_fates_t *fates, void (*told)(void *context, int rank), void *context);

/* Why the rank is lost, cut off at `room` bytes; "" if it is not. Returns text. */
const char *sgp_fates_why(sgp_fates_t *fates, int rank, char *text, size_t room);

/* Why a present rank counts as silent. It is silent as long as one of these holds, and trusted again when none does. */
typedef enum sgp_silence {
    SGP_SILENCE_UNHEARD = 1, /* nothing has been heard from it for too long */
    SGP_SILENCE_TOLD =
        2, /* it says that it does not hear this rank, so neither waits for the other */
    SGP_SILENCE_HUNG = 4, /* it is heard, but its step stands still */
} sgp_silence_t;

/* One reason begins to hold, or ends. true: the rank has fallen silent by that, or is trusted again. No effect on a rank
 * that is not present. */
bool sgp_fates_set_silent(sgp_fates_t *fates, int rank, sgp_silence_t reason, bool holds);

/* The reasons that hold, of sgp_silence_t; 0: the rank is not silent, or not present. One atomic load. */
unsigned sgp_fates_silence(const sgp_fates_t *fates, int rank);

/* The ranks that are silent now. One atomic load. */
uint32_t sgp_fates_silent_ranks(const sgp_fates_t *fates);

/* How often this rank itself has been silent: its own timer jumped, or another says that it did not hear it. One atomic
 * load. note: for transports; length: nanoseconds of the jump, or 0. */
uint32_t sgp_fates_absences(const sgp_fates_t *fates);
void sgp_fates_note_absence(sgp_fates_t *fates, uint64_t length);

/* The longest jump since the last call; 0: there was none. For one reader; each jump counts as an event, of no rank. */
uint64_t sgp_fates_take_jump(sgp_fates_t *fates);

/* What a rank's heartbeat last said of it. */
typedef struct sgp_pulse {
    uint64_t step;
    uint64_t digest; /* of its view (group/view.h) */
} sgp_pulse_t;

/* note: for transports. Zeros before the first one. The two numbers of a pulse may be of two heartbeats in a row. */
void sgp_fates_note_pulse(sgp_fates_t *fates, int rank, sgp_pulse_t pulse);
sgp_pulse_t sgp_fates_pulse(const sgp_fates_t *fates, int rank);

/* How often a rank's digest has changed. One atomic load. */
uint32_t sgp_fates_digests(const sgp_fates_t *fates);

/* The latest event of a rank: a change of its fate, or of its silence. */
typedef struct sgp_fate_event {
    int rank;
    uint32_t incarnation;
    sgp_fate_t fate;
    bool silent;      /* a present rank */
    bool opened;      /* a present rank: the event is that it has come */
    uint64_t noticed; /* nanoseconds of the process's clock */
    char why[96];     /* of a loss */
} sgp_fate_event_t;

/* Events so far. One atomic load. */
uint32_t sgp_fates_events(const sgp_fates_t *fates);

/* The oldest event among those that a reader has not taken; it is taken by that. A rank's later event takes the place of
 * one that was not taken. seen: (capacity) the reader's, zeros at first. false: there is none. */
bool sgp_fates_next_event(sgp_fates_t *fates, uint32_t *seen, sgp_fate_event_t *event);

/* The number of losses and departures so far. One atomic load. */
uint32_t sgp_fates_changes(const sgp_fates_t *fates);

/* The rank that was lost or left as number n, counted from 0; n is below sgp_fates_changes. -1: its
 * seat has been opened since. Who keeps count looks before a seat is opened, so this one is known. */
int sgp_fates_changed(sgp_fates_t *fates, uint32_t n);

/* The rank that was lost first, preferring ranks that did not follow another's loss; -1: none is
 * lost. A seat that was opened again is no loss. One atomic load. */
int sgp_fates_first_lost(const sgp_fates_t *fates);

#endif
