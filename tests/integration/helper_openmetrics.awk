# Checks OpenMetrics text: says what is wrong, and exits with 1. Used by cli_status.sh.
#
# As the specification has it: metadata before samples, families in one piece and only once, names that go with their
# type and unit, no series twice, labels that are quoted and escaped, numbers, buckets that rise to the count, quantiles that
# rise, "# EOF".

function wrong(text) {
	print FILENAME ":" FNR ": " text ": " $0
	bad = 1
}

ended { wrong("something behind # EOF") }
/^$/ { wrong("an empty line") }
$0 == "# EOF" { ended = 1; next }

/^# / {
	if ($2 !~ /^(TYPE|UNIT|HELP)$/ || $3 !~ /^[a-z_][a-z0-9_]*$/ || NF < 4) wrong("no metadata")
	if ($3 != family) {
		if ($3 in seen) wrong("a family in two pieces")
		seen[$3] = 1
		family = $3
		type = unit = ""
		samples = 0
	}
	if (samples) wrong("metadata behind samples")
	if ($2 == "TYPE") type = $4
	if ($2 == "TYPE" && type !~ /^(gauge|counter|histogram|summary)$/) wrong("no type that all readers know")
	if ($2 == "UNIT" && substr($3, length($3) - length($4)) != "_" $4) wrong("the name does not end in the unit")
	next
}

{
	samples++
	if (!match($0, /^[a-z_][a-z0-9_]*/)) wrong("no name")
	name = substr($0, 1, RLENGTH)
	rest = substr($0, RLENGTH + 1)
	suffix = substr(name, length(family) + 1)
	if (substr(name, 1, length(family)) != family) wrong("a sample of another family")
	if (type == "gauge" && suffix != "") wrong("a gauge has no suffix")
	if (type == "counter" && suffix != "_total") wrong("a counter ends in _total")
	if (type == "histogram" && suffix !~ /^_(bucket|count|sum)$/) wrong("not part of a histogram")
	if (type == "summary" && suffix !~ /^(|_count|_sum)$/) wrong("not part of a summary")
	if ((rest ~ /[{,]quantile="/) != (type == "summary" && suffix == "")) wrong("quantiles are those of a summary")
	if ((rest ~ /[{,]le="/) != (type == "histogram" && suffix == "_bucket")) wrong("bounds are those of a histogram")
	if (rest !~ /^\{([a-z_]+="([^"\\]|\\["\\n])*",?)+\} -?[0-9.+e-]+$/) wrong("no labels and a number")
	value = rest
	sub(/.*\} /, "", value)
	series = name substr(rest, 1, length(rest) - length(value))
	if (series in values) wrong("a series twice")
	values[series] = value
	if (rest !~ /store="/) wrong("it does not say which store")
	if (type == "counter" && value < 0) wrong("a counter below 0")
	if (type == "summary" && suffix == "") {
		quantile = rest
		sub(/.*[{,]quantile="/, "", quantile)
		if (quantile !~ /^[0-9.]+"/ || quantile + 0 > 1) wrong("a quantile is 0 to 1")
		if (last != "" && (quantile + 0 <= share || value + 0 < last + 0)) wrong("quantiles that do not rise")
		share = quantile + 0
		last = value
	} else if (type == "summary") {
		last = ""
	} else if (suffix == "_bucket") {
		if (value + 0 < last + 0) wrong("fewer than in the bucket before")
		last = value
	} else if (suffix == "_count") {
		if (value != last) wrong("the count is not that of the last bucket")
		last = 0
	}
}

END {
	if (!ended) {
		print FILENAME ": no # EOF"
		bad = 1
	}
	exit bad
}
