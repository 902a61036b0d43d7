# What each org gets. Put your own resources here; `terraform_data` stands for them and needs no provider.

terraform {
  required_version = ">= 1.4"
}

# The org as the API shows it; members that are not named here are left out.
variable "org" {
  type = object({
    id   = string
    slug = string
    plan = string
  })
}

locals {
  connections = lookup({ enterprise = 50, standard = 10 }, var.org.plan, 3)
}

resource "terraform_data" "database" {
  input = {
    name        = lower(var.org.id)
    connections = local.connections
  }
}

# Drawn once and kept, until `rotate` replaces it. With a provider, that is `random_password`.
resource "terraform_data" "password" {
  input = uuid()
  lifecycle {
    ignore_changes = [input]
  }
}

output "database" {
  value = terraform_data.database.output.name
}

output "connections" {
  value = local.connections
}

# What is sensitive is handed back as a secret.
output "DATABASE_PASSWORD" {
  value     = terraform_data.password.output
  sensitive = true
}
