/**
 * Words of English that say how a sentence is built and not what it is about, and those that most letters have. Of other
 * languages such words are found out by how evenly they are spread.
 */
export const stopWords: ReadonlySet<string> = new Set(
  `a about after again all almost already also although always am an and another any anybody anyone anything are aren
  around as at away back be because been before being below between both but by can cannot could couldn dear did didn do
  does doesn doing don done down during each either else enough etc even ever every everybody everyone everything few
  for from further get gets getting give given go goes going gone got had hadn has hasn have haven having he hello hence
  her here hers herself hi him himself his how however if in instead into is isn it its itself just kind last least less
  let like ll many may me might mine more most much must my myself need needs neither never next no nobody none nor not
  nothing now of off often oh ok okay on once one only onto or other others otherwise our ours ourselves out over own per
  perhaps please quite rather re really regards said same say says see seem seems several shall she should shouldn since
  so some somebody someone something soon still such than thank thanks that the their theirs them themselves then there
  these they thing things this those though through thus to today together too toward towards try trying two under until
  up upon us use used using ve very via want wants was wasn way we well were weren what whatever when where whether which
  while who whole whom whose why will with within without won would wouldn yes yet you your yours yourself`.split(
    /\s+/,
  ),
)
