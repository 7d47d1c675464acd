/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "client/cli/complete.h"
#include "client/commands/commands.h"

/* Each hands over the words up to the cursor, and falls back to files where there is nothing to
 * offer. */
static const struct {
	const char *name, *script;
} shells[] = {
	{"bash", "_telepresence() {\n"
		 "\tlocal IFS=$'\\n'\n"
		 "\tCOMPREPLY=($(telepresence complete -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" "
		 "2>/dev/null))\n"
		 "}\n"
		 "complete -o default -F _telepresence telepresence\n"},
	{"zsh", "#compdef telepresence\n"
		"_telepresence() {\n"
		"\tlocal -a found\n"
		"\tfound=(${(f)\"$(telepresence complete -- \"${(@)words[2,CURRENT]}\" "
		"2>/dev/null)\"})\n"
		"\tif (( $#found )); then compadd -- $found; else _files; fi\n"
		"}\n"
		"if [ \"$funcstack[1]\" = _telepresence ]; then\n"
		"\t_telepresence \"$@\"\n"
		"else\n"
		"\tcompdef _telepresence telepresence\n"
		"fi\n"},
	{"fish", "function __telepresence_complete\n"
		 "\tset -l before (commandline -opc)\n"
		 "\tset -l word (commandline -ct)\n"
		 "\tset -l found (telepresence complete -- $before[2..-1] \"$word\" "
		 "2>/dev/null)\n"
		 "\tif count $found >/dev/null\n"
		 "\t\tprintf '%s\\n' $found\n"
		 "\telse\n"
		 "\t\t__fish_complete_path \"$word\"\n"
		 "\tend\n"
		 "end\n"
		 "complete -c telepresence -f -a '(__telepresence_complete)'\n"},
	{"powershell", "Register-ArgumentCompleter -Native -CommandName telepresence "
		       "-ScriptBlock {\n"
		       "\tparam($word, $ast, $cursor)\n"
		       "\t$words = @($ast.CommandElements | Select-Object -Skip 1 | "
		       "ForEach-Object { \"$_\" })\n"
		       "\tif ($word -eq '') { $words += '' }\n"
		       "\ttelepresence complete -- @words 2>$null | ForEach-Object { "
		       "[System.Management.Automation.CompletionResult]::new($_) }\n"
		       "}\n"},
};

static int run_completion(struct cli *cli, struct err *err)
{
	for (size_t i = 0; cli->operands[0] && i < ARRAY_SIZE(shells); i++) {
		if (strcmp(cli->operands[0], shells[i].name) == 0) {
			cli_print(cli, "%s", shells[i].script);
			return 0;
		}
	}
	return err_set(
		err, -EINVAL, ERR_USAGE, "please name the shell: bash, zsh, fish or powershell");
}

const struct command command_completion = {
	.name = "completion",
	.operand = "bash|zsh|fish|powershell",
	.words = "bash zsh fish powershell",
	.summary = "Print a completion script for a shell",
	.description =
		"For commands, options, and the names of workloads, intercepts, namespaces and "
		"contexts. bash: source <(telepresence completion bash). zsh, after compinit: "
		"source <(telepresence completion zsh). fish: telepresence completion fish | "
		"source. PowerShell 7.3 or later: telepresence completion powershell | Out-String "
		"| Invoke-Expression.",
	.run = run_completion,
};

static int run_complete(struct cli *cli, struct err *err UNUSED)
{
	size_t count = 0;

	while (cli->child && cli->child[count])
		count++;
	complete_words(cli, cli->child, count);
	return 0;
}

/* What the scripts call. */
const struct command command_complete = {
	.name = "complete",
	.summary = "Print what the last of the words may become",
	.hidden = true,
	.runs_child = true,
	.run = run_complete,
};
