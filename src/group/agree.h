/* SPDX-License-Identifier: Apache-2.0 */
/* Agree: an all-gather of payloads among survivors. All members that return from a call have the same set of seats and
 * the same payloads, although members die at any moment. This is the state machine of one member, without transport,
 * clock or thread: it is told what arrived and who is lost, and says what is to be sent. Called by agree_call.c, which
 * runs it over a group's inbox, and by the search in tests/group/test_agree.c.
 *
 * The rules (docs/membership.md, "Collectives"):
 *  1. A member sends STATE (its live set and payload) to every live member, and again whenever its live set changes.
 *  2. It decides when the last STATE of every live member has its own live set.
 *  3. It keeps the result until the next decision, and answers every STATE of that call with DECIDED.
 *  4. A member that receives DECIDED adopts it, and passes it on to every member whose last STATE had another set: that
 *     STATE came before the decision and will not come again.
 *  5. Messages of a seat that is lost are ignored. Otherwise a late DECIDED of a dead member could be adopted by a member
 *     whose new STATE the others have already decided upon.
 *  6. A STATE of a call before the last result, of a seat that is not in that result, is answered with that DECIDED: the
 *     seat was left out, and its call will not be decided any more. It learns so, as by a DECIDED of its own call.
 *
 * A member that returned and then died may have had another result than the others, who never see it. The payload of a
 * member that died in the call is in the result of all others, or of none.
 *
 * Calls are numbered by one. Members are at most one call apart, so a machine keeps payloads of three calls: of the last
 * result, of the present call, and of STATEs that are early. A DECIDED is cut into messages of whole payloads; the parts
 * may come from several senders, as a seat's payload in a call is always the same.
 *
 * Messages from one seat to another must arrive in the order in which they were sent, once. Nothing is allocated after
 * creation. Not thread-safe. */
#ifndef SGP_GROUP_AGREE_H
#define SGP_GROUP_AGREE_H

#include "group/agree_message.h"

#include <stdbool.h>

typedef struct sgp_agree sgp_agree_t;

typedef struct sgp_agree_options {
    sgp_agree_limits_t limits;
    int seat;       /* ours; below the capacity */
    uint64_t calls; /* before the first one of this machine: 0 for a founder */
} sgp_agree_options_t;

/* Takes about 3 x capacity x payload_bytes, of which only pages that are written become memory. Sets *agree only on
 * success. SGP_ERR_INVALID: an option is out of range; SGP_ERR_NO_MEMORY; both logged. */
sgp_status_t sgp_agree_create(const sgp_agree_options_t *options, sgp_agree_t **agree);
void sgp_agree_destroy(sgp_agree_t *agree); /* NULL is fine */

/* Begins the next call. live: the members that this one knows to be live, itself among them; a seat that was lost may be
 * among them as a new member. payload: (bytes) copied. A call that was not decided is given up. SGP_ERR_INVALID, logged:
 * live lacks this seat, or the payload is too long. */
sgp_status_t sgp_agree_begin(sgp_agree_t *agree, const unsigned char *live /* (seats) */,
                             const void *payload, size_t bytes);

/* The member of that seat died or left: at any time, also between calls. */
void sgp_agree_lost(sgp_agree_t *agree, int seat);

/* A message from `src`, of any bytes. A message that is not accepted changes nothing, and *reason (static) is the cause;
 * not logged. SGP_ERR_FORMAT: it is none; SGP_ERR_REFUSED: it does not fit the state. */
sgp_status_t sgp_agree_heard(sgp_agree_t *agree, int src, const unsigned char *bytes, size_t count,
                             const char **reason);

/* A message that is due, the same for all of its receivers. */
typedef struct sgp_agree_due {
    const unsigned char *bytes; /* (count) the machine's, until its next call */
    size_t count;
    const int *to; /* (receivers) seats in ascending order */
    int receivers;
} sgp_agree_due_t;

/* The next one. It stays due until sgp_agree_sent. false: nothing is due. */
bool sgp_agree_next_message(sgp_agree_t *agree, sgp_agree_due_t *due);

/* The message that sgp_agree_next_message gave last has been sent to these of its receivers; no other call in between. */
void sgp_agree_sent(sgp_agree_t *agree, const int *to, int receivers);

/* The result of a call: which members, and their payloads. Valid until the next call is decided. */
typedef struct sgp_agree_result {
    uint64_t call;
    int members;
    const unsigned char *set; /* (seats) */
    const sgp_agree_t *agree;
} sgp_agree_result_t;

/* Of the call that was begun last. false: it is not decided, or there was none. */
bool sgp_agree_result(const sgp_agree_t *agree, sgp_agree_result_t *result);

/* The payload (*bytes) of a member; NULL: the seat is no member. */
const void *sgp_agree_payload(const sgp_agree_result_t *result, int seat, size_t *bytes);

/* Before this member leaves: DECIDED becomes due to every live member that may not know the last result. Afterwards no
 * STATE would be answered. */
void sgp_agree_farewell(sgp_agree_t *agree);

/* A newcomer takes part, in the present call too if that is not decided. No effect on a seat that does already. Its member is
 * another one than those that were lost. */
void sgp_agree_admit(sgp_agree_t *agree, int seat);

/* Whether a live member's STATE of the present call, or any of the next one, has that seat, which does not take part here. */
bool sgp_agree_wants(const sgp_agree_t *agree, int seat, bool next);

/* The payload (*bytes) of a member's STATE of the next call, which this one has not begun; NULL: none has come. */
const void *sgp_agree_early(const sgp_agree_t *agree, int seat, size_t *bytes);

/* Calls that were begun. */
uint64_t sgp_agree_calls(const sgp_agree_t *agree);

/* The lowest live seat whose STATE the present call waits for; -1: none. */
int sgp_agree_missing(const sgp_agree_t *agree);

/* Whether it is such a seat. */
bool sgp_agree_misses(const sgp_agree_t *agree, int seat);

/* A live member has decided the present call without this one, or is about to: it takes this one for dead. -1: none. */
int sgp_agree_excluded_by(const sgp_agree_t *agree);

/* For searches. All that the machine's behaviour depends on, as bytes (*count) without pointers: machines of the same
 * options with the same bytes behave alike. restore: of a machine of the same options. */
const void *sgp_agree_state(const sgp_agree_t *agree, size_t *count);
void sgp_agree_restore(sgp_agree_t *agree, const void *state);

#endif
