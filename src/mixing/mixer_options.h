/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for combining the options of a mixer. */
#ifndef SGP_MIXING_MIXER_OPTIONS_H
#define SGP_MIXING_MIXER_OPTIONS_H

#include <sgp/mixer.h>

/* Whether the options make sense together, with graph.size nodes; count and buffers are ignored. SGP_ERR_INVALID; the
 * log names the mistake and a value that works. */
sgp_status_t sgp_mixer_check(const sgp_mixer_options_t *options);

/* How vectors travel: the codes of int4 are not the same in all-reduce and in algorithms that push. */
sgp_encoding_t sgp_mixer_encoding(const sgp_mixer_options_t *options);

/* Exchanges per step of options that are checked, at least 1: SGP_ROUNDS_AUTO is the period of options->graph. */
int64_t sgp_mixer_rounds(const sgp_mixer_options_t *options);

#endif
