{{- /* A CEL expression for all values of some fields of an object, those included that are not there. In: a dict of of and fields. */ -}}
{{- define "culvert.cel.values" -}}
{{- $of := .of -}}
{{- $each := list -}}
{{- range .fields }}{{ $each = append $each (printf "(has(%[1]s.%[2]s) ? %[1]s.%[2]s : [])" $of .) }}{{ end -}}
({{ join " + " $each }})
{{- end -}}
