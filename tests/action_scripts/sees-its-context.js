// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// context: {"organization":{"id":"org_1","name":"acme"}}
// value: {"user_id":1,"organization":"acme","count":4}
function login(email, password, context, callback) {
  callback(null, { user_id: 1, organization: context.organization.name, count: arguments.length });
}
