function getByEmail(email, callback) {
  const sqlserver = require('tedious@1.11.0');
  const Connection = sqlserver.Connection;
  const Request = sqlserver.Request;
  const TYPES = sqlserver.TYPES;
  const connection = new Connection({
    userName: 'legacy',
    password: configuration.SQL_PASSWORD,
    server: configuration.SQL_SERVER,
    options: {
      port: Number(configuration.SQL_PORT),
      database: 'membership',
      rowCollectionOnRequestCompletion: true
    }
  });

  connection.on('connect', function (err) {
    if (err) return callback(err);
    const query =
      'SELECT webpages_Membership.UserId, UserName FROM webpages_Membership ' +
      'INNER JOIN UserProfile ON UserProfile.UserId = webpages_Membership.UserId ' +
      'WHERE UserName = @Username';
    const request = new Request(query, function (err, rowCount, rows) {
      if (err || rowCount < 1) return callback(err);
      callback(null, { user_id: rows[0][0].value, email: rows[0][1].value });
    });
    request.addParameter('Username', TYPES.VarChar, email);
    connection.execSql(request);
  });
}
