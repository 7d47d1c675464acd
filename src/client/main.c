/* SPDX-License-Identifier: Apache-2.0 */
/*
 * telepresence - the command line and, as `telepresence userd`, the user daemon
 */
#include "client/cli/command.h"

int main(int argc, char **argv)
{
	return cli_main(argc, argv);
}
