{{- /* A CEL expression for all values of some fields of an object, those included that are not there. In: a dict of of and fields. */ -}}
{{- define "culvert.cel.values" -}}
{{- $of := .of -}}
{{- $each := list -}}
{{- range .fields }}{{ $each = append $each (printf "(has(%[1]s.%[2]s) ? %[1]s.%[2]s : [])" $of .) }}{{ end -}}
({{ join " + " $each }})
{{- end -}}

{{- /* A CEL expression: any of some fields of an object is there. In: the same. */ -}}
{{- define "culvert.cel.any" -}}
{{- $of := .of -}}
{{- $each := list -}}
{{- range .fields }}{{ $each = append $each (printf "has(%s.%s)" $of .) }}{{ end -}}
({{ join " || " $each }})
{{- end -}}

{{- /* A CEL expression: of some lists of an object those that are there have an item. In: the same. */ -}}
{{- define "culvert.cel.filled" -}}
{{- $of := .of -}}
{{- $each := list -}}
{{- range .fields }}{{ $each = append $each (printf "(!has(%[1]s.%[2]s) || size(%[1]s.%[2]s) > 0)" $of .) }}{{ end -}}
({{ join " && " $each }})
{{- end -}}
