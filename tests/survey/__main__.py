from tests.survey.table import section

print(section())
