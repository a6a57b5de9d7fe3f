// action: login
// args: ["alice@example.com","correct horse"]
// outcome: contract_violation
// detail: result_not_serializable
// message: BigInt
function login(email, password, callback) {
  callback(null, { user_id: 1n });
}
