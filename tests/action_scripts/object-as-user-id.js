// action: login
// args: ["alice@example.com","correct horse"]
// outcome: contract_violation
// detail: invalid_profile
// message: not an object
function login(email, password, callback) {
  callback(null, { user_id: { low: 1, high: 0 }, email });
}
