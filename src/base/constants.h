/* SPDX-License-Identifier: Apache-2.0 */
/* Limits that several layers share. */
#ifndef SGP_BASE_CONSTANTS_H
#define SGP_BASE_CONSTANTS_H

/* Processes of a group at most, and so nodes of a run: a rank travels in 16 bits (transport/fates.h). How many fit on one
 * machine is a question of its memory. */
#define SGP_MOST_PROCESSES 65536

#endif
