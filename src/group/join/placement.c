/* SPDX-License-Identifier: Apache-2.0 */
#include "group/join/placement.h"

/* Options come before the environment, and within it our own variables before others', as a process
 * of sgp run may itself be one of a launcher's. PMIx and PMI come before torchrun, whose RANK and
 * WORLD_SIZE other programs set too; srun sets Slurm's variables beside those of PMIx. */
static const sgp_launcher_t *const launchers[] = {
    &sgp_launcher_address, &sgp_launcher_directory, &sgp_launcher_pmix,
    &sgp_launcher_pmi,     &sgp_launcher_torchrun,  &sgp_launcher_slurm,
};

sgp_status_t sgp_placement_find(const sgp_group_options_t *options, sgp_placement_t *placement) {
    for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++) {
        if (!launchers[i]->recognise(options)) continue;
        *placement = (sgp_placement_t){.launcher = launchers[i], .rank = -1, .ports = 1};
        return launchers[i]->place(options, placement);
    }
    *placement = (sgp_placement_t){.rank = 0, .size = 1, .ports = 1};
    return SGP_OK;
}
