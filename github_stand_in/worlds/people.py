"""The logins that appear in generated repositories."""

PEOPLE = ("ana-lopez", "bruno-diaz", "carmen-ruiz", "diego-soto", "elena-vega", "felipe-mora", "gabi-luna", "hugo-paz")
REVIEW_BOT = "copilot-review[bot]"
DEPLOYER = "deployer"
