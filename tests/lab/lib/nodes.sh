# shellcheck shell=bash
# Who is who among the nodes of the lab.

# The nodes of the sample specification; a spare is booted only where it is named.
node_names() { awk '$3 != "spare" { print $1 }' <<<"$NODE_TABLE"; }
names_of_role() { awk -v role="$1" '$3 == role { print $1 }' <<<"$NODE_TABLE"; }

node_address() {
    awk -v name="$1" '$1 == name { print $2; found = 1 } END { exit !found }' <<<"$NODE_TABLE" ||
        fail "there is no node $1; the nodes are: $(cut -d ' ' -f 1 <<<"$NODE_TABLE" | paste -sd ' ')"
}
