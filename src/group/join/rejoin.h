/* SPDX-License-Identifier: Apache-2.0 */
/* A live member that the others struck off by mistake joins their group again (docs/membership.md, "Coming back"). What it
 * needs for that is noted while it still has its old group: whom it can call, and which seat it had. Then it aborts that group,
 * and joins as a newcomer with sgp_group_options_t.contacts and .rejoin. Called by the program. */
#ifndef SGP_GROUP_JOIN_REJOIN_H
#define SGP_GROUP_JOIN_REJOIN_H

#include "group/group_internal.h"

typedef struct sgp_rejoin {
    char *contacts; /* "HOST:PORT,..." of the other members; owned */
    bool was_member;
    int seat; /* that it had then; and its incarnation */
    uint32_t incarnation;
} sgp_rejoin_t;

/* Whether the group takes newcomers, and can call this node one. */
bool sgp_rejoin_can_be(sgp_group_t *group);

/* Whether the others have struck this node off, as far as it knows. */
bool sgp_rejoin_is_due(sgp_group_t *group);

/* Members that this node hears come first. Sets *rejoin (zeros, or noted before) only on success; a newcomer that was not taken in
 * keeps what was noted of its seat.
 * SGP_ERR_UNSUPPORTED: the address of no other member is known; SGP_ERR_NO_MEMORY; logged. fini accepts zeros. */
sgp_status_t sgp_rejoin_note(sgp_group_t *group, sgp_rejoin_t *rejoin);
void sgp_rejoin_fini(sgp_rejoin_t *rejoin);

/* Fills in the fields of the options that say whom to call, and which place is wanted. own_seat: false: any. They borrow the
 * contacts. */
void sgp_rejoin_options(const sgp_rejoin_t *rejoin, bool own_seat, sgp_group_options_t *options);

#endif
